import { isolated } from "#server/runtime/isolated.ts";
import type { RoundDeps } from "./batch.ts";
import { haltWithdrawn, keepCourse, type StartDeps } from "./course.ts";
import type { Evaluation } from "./evaluation.ts";
import type { RevertDeps } from "./revert.ts";
import { endSoaks } from "./soak.ts";
import { doWork } from "./work.ts";

/**
 * What is due for campaigns by the clock, in batches for as long as `mayGoOn`. Whatever of it fails
 * is logged, and keeps nothing from the rest.
 * @returns how many campaigns have moved
 */
export async function campaignRound(
  deps: RevertDeps & StartDeps & RoundDeps & { evaluation: Pick<Evaluation, "all"> },
  now: Date,
  mayGoOn: () => boolean,
): Promise<number> {
  const kinds = {
    soaking: async () => void (await endSoaks(deps, now, mayGoOn)),
    "retry and rollback": () => doWork(deps, now, mayGoOn),
    evaluation: () => deps.evaluation.all(now),
    "withdrawn releases": () => haltWithdrawn(deps, now),
    course: () => keepCourse(deps, now),
  };
  let moved = 0;
  for (const [kind, work] of Object.entries(kinds)) {
    moved += (await isolated<number | void>(deps.log, { work: `campaigns: ${kind}` }, work)) ?? 0;
  }
  return moved;
}
