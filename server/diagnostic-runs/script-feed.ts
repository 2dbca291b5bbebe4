import type { Catalogue } from "#protocol/uds/catalogue.ts";
import type { Db } from "#server/database/connection.ts";
import type { StreamedEvent } from "#server/http/event-stream.ts";
import type { Waiters } from "#server/runtime/waiters.ts";
import { isOver } from "./script.ts";
import { scriptById, stepsOf, type StepRow } from "./script-queries.ts";
import { asRun, asStep } from "./script-view.ts";

export interface ScriptFeedDeps {
  db: Db;
  waiters: Waiters;
  catalogue: Catalogue;
  lookMs: number;
}

/** What is read at once; the next is read when the client has taken this. */
const STEPS_AT_ONCE = 100;

/**
 * The steps of a run behind `after`, in their order and without gaps while it goes on, then the run
 * itself. What came before is read from the database, so nothing is kept for a client that is slow.
 */
export async function* followRun(
  { db, waiters, catalogue, lookMs }: ScriptFeedDeps,
  scriptId: string,
  after: number,
  signal: AbortSignal,
): AsyncGenerator<StreamedEvent> {
  let seq = after;
  while (!signal.aborted) {
    // Asked before anything is read: what happens in between is not missed.
    const leave = new AbortController();
    const woken = waiters.wait(scriptId, lookMs, AbortSignal.any([signal, leave.signal]));
    const run = await scriptById(db, scriptId);
    if (run === undefined) return leave.abort();
    const over = isOver(run.status);
    const stored = await stepsOf(db, scriptId, { after: seq, limit: STEPS_AT_ONCE });
    const steps = over ? stored : withoutGap(stored, seq);
    for (const step of steps) {
      seq = step.seq;
      yield { id: String(seq), event: "step", data: asStep(step, catalogue) };
    }
    if (steps.length > 0) leave.abort();
    else if (over) {
      leave.abort();
      yield { event: "end", data: asRun(run, catalogue) };
      return;
    } else await woken;
  }
}

/** A step that came too early waits for those before it. */
function withoutGap(steps: readonly StepRow[], after: number): StepRow[] {
  return steps.filter(({ seq }, index) => seq === after + 1 + index);
}
