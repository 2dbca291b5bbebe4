import type { CampaignProgress } from "#protocol/api/campaign-progress.ts";
import type { Campaign } from "./campaign.ts";
import { nothing, type Counts } from "./count.ts";
import { ofWave, overWaves, type WaveCounts } from "./counter-queries.ts";
import { finding, wilson } from "./stop-rule.ts";
import { endedBefore, outcomesOf, verdictOf, waveToCome } from "./verdict.ts";

const DEFAULT_CONFIDENCE = 0.95;
/** Groups that fail for sure are few; the rest is among the groups. */
const MAX_FINDINGS = 20;

/** How far a campaign has come, by its counters alone. */
export function progressOf(
  campaign: Campaign,
  counts: readonly WaveCounts[],
  now: Date,
): CampaignProgress {
  const { campaign_id, state, waves, waves_opened, started_at, ended_at } = campaign;
  const confidence = campaign.stop_rule?.confidence ?? DEFAULT_CONFIDENCE;
  const end = ended_at ?? now;
  const groups = overWaves(counts);
  const total = groups.find(({ ecu_type }) => ecu_type === "")?.counts ?? nothing();
  return {
    campaign_id,
    state,
    total: wholeFigures(total, confidence),
    waves: waves.map((_, wave) => {
      const opened = waves_opened[wave] ?? null;
      return {
        wave,
        opened_at: opened?.toISOString() ?? null,
        open_s: opened && seconds(opened, end),
        ...wholeFigures(ofWave(counts, wave), confidence),
      };
    }),
    groups: groups
      .filter(({ ecu_type }) => ecu_type !== "")
      .map(({ ecu_type, hardware_version, counts: own }) => ({
        ecu_type,
        hardware_version,
        ...figures(own, confidence),
      })),
    next_wave: nextWaveOf(campaign, counts, now),
    stop_rule: stopRuleOf(campaign, counts),
    retrying: campaign.retry_at !== null,
    reverting: campaign.revert_at !== null,
    running_s: started_at && seconds(started_at, end),
  };
}

function wholeFigures(counts: Counts, confidence: number) {
  const { started, updating, soaking, succeeded, failed, rolled_back, reverted } = counts;
  const elsewhere = updating + soaking + succeeded + failed + rolled_back + reverted;
  return { ...figures(counts, confidence), waiting: Math.max(0, started - elsewhere), updating };
}

function figures(counts: Counts, confidence: number) {
  const { updating: _, ...shown } = counts;
  const failed = counts.failed + counts.rolled_back;
  const succeeded = counts.soaking + counts.succeeded + counts.reverted;
  const rate = (count: number) => {
    const finished = failed + succeeded;
    return finished === 0
      ? null
      : { rate: count / finished, ...wilson(count, finished, confidence) };
  };
  return { ...shown, failure_rate: rate(failed), success_rate: rate(succeeded) };
}

function nextWaveOf(
  campaign: Campaign,
  counts: readonly WaveCounts[],
  now: Date,
): CampaignProgress["next_wave"] {
  const wave = campaign.waves_opened.length;
  const next = waveToCome(campaign, counts, now);
  if (next.kind === "none" || campaign.ended_at !== null) return null;
  const gate = gateOf(campaign, counts);
  if (campaign.state !== "running") return { wave, opens_at: null, waits_for: "campaign", gate };
  switch (next.kind) {
    case "open":
      return { wave, opens_at: now.toISOString(), waits_for: "time", gate };
    case "due":
      return { wave, opens_at: next.at.toISOString(), waits_for: "time", gate };
    case "gated":
      return { wave, opens_at: null, waits_for: next.waits_for, gate };
  }
}

/** What the next wave waits for of the one before, and what is there of it. */
function gateOf(campaign: Campaign, counts: readonly WaveCounts[]) {
  const { gate } = campaign.waves[campaign.waves_opened.length] ?? {};
  if (gate === undefined || "after_min" in gate) return null;
  const { succeeded, failed } = endedBefore(campaign, counts);
  const { min_finished, max_failure_rate } = gate;
  return { finished: succeeded + failed, min_finished, failed, max_failure_rate };
}

function stopRuleOf(
  campaign: Campaign,
  counts: readonly WaveCounts[],
): CampaignProgress["stop_rule"] {
  const { stop_rule } = campaign;
  if (stop_rule === null) return null;
  const [whole, ...groups] = overWaves(counts).map((each) => finding(stop_rule, outcomesOf(each)));
  const worst = groups.toSorted((one, other) => other.lower_bound - one.lower_bound);
  const findings = [...(whole ? [whole] : []), ...worst].slice(0, MAX_FINDINGS);
  return { stop: verdictOf(campaign, counts).stop, findings };
}

function seconds(from: Date, to: Date): number {
  return Math.max(0, Math.floor((to.getTime() - from.getTime()) / 1000));
}
