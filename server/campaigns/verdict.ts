import type { Campaign } from "./campaign.ts";
import type { GroupCounts } from "./count.ts";
import { ofWave, overWaves, type WaveCounts } from "./counter-queries.ts";
import { judge, type Outcomes, type Scope, type Verdict } from "./stop-rule.ts";
import { nextWave, type NextWave, type WaveOutcomes } from "./waves.ts";

/** What the stop rule says of a campaign by its counters. */
export function verdictOf(
  { stop_rule }: Pick<Campaign, "stop_rule">,
  counts: readonly WaveCounts[],
): Verdict {
  if (stop_rule === null) return { stop: false };
  return judge(stop_rule, overWaves(counts).map(outcomesOf));
}

/** A group as the stop rule sees it: one that soaks, or was taken back, had its proof. */
export function outcomesOf(group: GroupCounts): Outcomes & { scope: Scope } {
  const { ecu_type, hardware_version, counts } = group;
  return {
    scope: ecu_type === "" ? "whole" : { ecu_type, hardware_version },
    succeeded: counts.soaking + counts.succeeded + counts.reverted,
    failed: counts.failed + counts.rolled_back,
  };
}

/** What becomes of a campaign's next wave by its counters. */
export function waveToCome(
  campaign: Pick<Campaign, "waves" | "waves_opened" | "gate_met_at">,
  counts: readonly WaveCounts[],
  now: Date,
): NextWave {
  return nextWave(campaign, endedBefore(campaign, counts), now);
}

/** How the vehicles have ended of the wave that was opened last. */
export function endedBefore(
  { waves_opened }: Pick<Campaign, "waves_opened">,
  counts: readonly WaveCounts[],
): WaveOutcomes {
  const { succeeded, failed, rolled_back } = ofWave(counts, waves_opened.length - 1);
  return { succeeded, failed: failed + rolled_back };
}
