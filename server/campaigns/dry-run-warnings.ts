import type { DryRun } from "#protocol/api/dry-run.ts";
import type { Campaign } from "./campaign.ts";
import { wilson } from "./stop-rule.ts";

/** What can't happen with as many vehicles as there are. */
export function warningsOf(
  campaign: Pick<Campaign, "waves" | "stop_rule" | "started_at">,
  waves: DryRun["waves"],
): DryRun["warnings"] {
  // Vehicles that were planned for before have ended by now.
  const hasStarted = campaign.started_at !== null;
  const most = waves.map(({ members, planned }) => (hasStarted ? members : planned));
  return [...warningsOfGates(campaign, most), ...warningsOfRule(campaign, most)];
}

/** @param most of each wave can end */
function warningsOfGates(
  { waves }: Pick<Campaign, "waves">,
  most: readonly number[],
): DryRun["warnings"] {
  return waves.flatMap(({ gate }, wave) => {
    const before = most[wave - 1] ?? 0;
    if (gate === undefined || "after_min" in gate || gate.min_finished <= before) return [];
    const detail = `wave ${wave + 1} waits until ${gate.min_finished} vehicles of wave ${wave} have ended, of ${before}`;
    return [{ code: "WAVE_GATE_OUT_OF_REACH" as const, wave, detail }];
  });
}

function warningsOfRule(
  { stop_rule }: Pick<Campaign, "stop_rule">,
  most: readonly number[],
): DryRun["warnings"] {
  if (stop_rule === null) return [];
  const { max_failure_rate, min_sample, confidence } = stop_rule;
  const all = most.reduce((sum, each) => sum + each, 0);
  const percent = (share: number) => `${Math.floor(share * 1000) / 10} %`;
  // If each one failed.
  const { lower } = wilson(all, all, confidence);
  const why =
    all < min_sample
      ? `it concludes nothing from fewer than ${min_sample}`
      : lower <= max_failure_rate
        ? `if all of them failed, that would show a rate above ${percent(lower)}, and ${percent(max_failure_rate)} is allowed`
        : undefined;
  if (why === undefined) return [];
  const detail = `the stop rule can't stop a campaign of ${all} vehicles: ${why}`;
  return [{ code: "STOP_RULE_OUT_OF_REACH" as const, wave: null, detail }];
}
