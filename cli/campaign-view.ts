import type { CampaignProgress } from "#protocol/api/campaign-progress.ts";
import type { Campaign, StopFinding } from "#protocol/api/campaign.ts";
import type { DryRun } from "#protocol/api/dry-run.ts";
import { byteText } from "./progress-bar.ts";
import { shownTime, table } from "./table.ts";

/** What a campaign's state asks for next. */
export function stateText({ campaign_id, name, state, starts_at, state_reason }: Campaign): string {
  const next = {
    draft: `Then: latticeway campaign submit ${campaign_id}`,
    awaiting_approval: `Another operator approves it: latticeway campaign approve ${campaign_id}`,
    scheduled:
      starts_at === null
        ? `Then: latticeway campaign start ${campaign_id}`
        : `It starts at ${shownTime(starts_at)}.`,
    running: `How far it is: latticeway campaign progress ${campaign_id} --watch`,
    paused: `Then: latticeway campaign resume ${campaign_id}`,
    finishing: "No further vehicle joins.",
    finished: "It is over.",
    stopped: "It is over.",
  }[state];
  const why = state_reason === null ? [] : [`${state_reason.detail} (${state_reason.code})`];
  return [`${name} (${campaign_id}) is ${state}.`, ...why, next].join("\n");
}

/** What a campaign would do, in the order in which an operator asks. */
export function dryRunText(run: DryRun): string {
  const { planned, blocked } = run;
  const { bytes } = planned;
  return [
    table(
      ["VEHICLES", ""],
      [
        ["match", String(run.matched)],
        ["of these in the campaign", String(run.members)],
        ["get something", String(planned.vehicles)],
        ["have it already", String(run.up_to_date)],
        ["have no such ECU", String(run.not_concerned)],
        ["have not said what they are", String(run.without_vci)],
        ["are blocked", String(blocked.vehicles)],
      ],
    ),
    `To download: ${byteText(bytes.total)} in all, ${byteText(bytes.p50)} a vehicle, ${byteText(bytes.max)} at the most.`,
    ...section(
      run.waves.length > 1 ? run.waves : [],
      ["WAVE", "VEHICLES", "GET SOMETHING"],
      (it) => [it.wave + 1, it.members, it.planned],
    ),
    ...section(planned.bundles, ["UPDATES IN A ROW", "VEHICLES"], (it) => [
      it.bundles,
      it.vehicles,
    ]),
    ...section(planned.ecus, ["ECU TYPE", "TO VERSION", "ECUS", "VEHICLES"], (it) => [
      it.ecu_type,
      it.version,
      it.ecus,
      it.vehicles,
    ]),
    ...section(blocked.reasons, ["BLOCKED BY", "VEHICLES", "ECUS", "FOR INSTANCE", "WHY"], (it) => [
      it.reason,
      it.vehicles,
      it.ecus,
      it.sample[0] ?? "",
      it.detail,
    ]),
    ...section(run.conflicts, ["OTHER CAMPAIGN", "STATE", "FOR", "VEHICLES", "ID"], (it) => [
      it.name,
      it.state,
      it.ecu_types.join(","),
      it.vehicles,
      it.campaign_id,
    ]),
    ...section(
      run.releases.filter(({ problem }) => problem !== null),
      ["RELEASE", "VERSION", "PROBLEM", "ID"],
      (it) => [it.ecu_type ?? "", it.version ?? "", it.problem ?? "", it.firmware_id],
    ),
    ...run.warnings.map(({ code, detail }) => `Warning: ${detail} (${code})`),
  ].join("\n\n");
}

/** How far a campaign has come. */
export function progressText(progress: CampaignProgress): string {
  const { total, waves, groups, next_wave, stop_rule } = progress;
  const shown = figures.filter(({ of, isSeldom }) => isSeldom !== true || of(total) !== 0);
  const lines = [
    `The campaign is ${progress.state}${runText(progress)}.`,
    ...section(
      [
        ...waves.map((wave) => ({ name: `wave ${wave.wave + 1}`, ...wave })),
        { name: "all", ...total },
      ],
      ["", ...shown.map(({ heading }) => heading)],
      (it) => [it.name, ...shown.map(({ of }) => of(it))],
    ),
    ...section(
      groups,
      ["ECU TYPE", "HARDWARE", "STARTED", "SUCCEEDED", "FAILED", "ROLLED BACK", "FAILURES"],
      (it) => [
        it.ecu_type,
        it.hardware_version,
        it.started,
        it.succeeded,
        it.failed,
        it.rolled_back,
        percent(it.failure_rate?.rate),
      ],
    ),
  ];
  if (next_wave) lines.push(nextWaveText(next_wave));
  if (stop_rule) lines.push(...stop_rule.findings.slice(0, 5).map(findingText));
  return lines.join("\n\n");
}

function runText({ state, running_s }: CampaignProgress): string {
  if (running_s === null) return "";
  const long = duration(running_s);
  return state === "finished" || state === "stopped"
    ? `; it ran for ${long}`
    : `; it started ${long} ago`;
}

interface Figure {
  heading: string;
  of: (count: CampaignProgress["total"]) => string | number;
  /** Shown where there is something: all of them are wider than many terminals. */
  isSeldom?: true;
}

const figures: readonly Figure[] = [
  { heading: "STARTED", of: (it) => it.started },
  { heading: "UNDER WAY", of: (it) => it.waiting + it.updating },
  { heading: "SOAKING", of: (it) => it.soaking, isSeldom: true },
  { heading: "SUCCEEDED", of: (it) => it.succeeded },
  { heading: "FAILED", of: (it) => it.failed },
  { heading: "ROLLED BACK", of: (it) => it.rolled_back, isSeldom: true },
  { heading: "REVERTED", of: (it) => it.reverted, isSeldom: true },
  { heading: "FAILURES", of: (it) => percent(it.failure_rate?.rate) },
];

function nextWaveText({
  wave,
  opens_at,
  waits_for,
  gate,
}: NonNullable<CampaignProgress["next_wave"]>): string {
  const what = {
    time: opens_at === null ? "by time" : `at ${shownTime(opens_at)}`,
    finished_vehicles: "when enough vehicles are through",
    fewer_failures: "when fewer of them have failed",
    campaign: "when the campaign runs",
  }[waits_for];
  const text = `Wave ${wave + 1} opens ${what}.`;
  if (gate === null) return text;
  const { finished, min_finished, failed, max_failure_rate } = gate;
  return `${text} Of wave ${wave}, ${finished} are through of at least ${min_finished}; ${failed} failed (${percent(max_failure_rate)} are allowed).`;
}

function findingText({ scope, failed, finished, lower_bound, threshold }: StopFinding): string {
  const whose =
    scope === "whole" ? "All vehicles" : `${scope.ecu_type} on ${scope.hardware_version}`;
  const verdict = lower_bound > threshold ? "more than" : "not surely more than";
  return `${whose}: ${failed} of ${finished} failed, ${verdict} the ${percent(threshold)} of the stop rule (at least ${percent(lower_bound)}).`;
}

function section<Item>(
  items: readonly Item[],
  heading: readonly string[],
  cells: (item: Item) => (string | number)[],
): string[] {
  if (items.length === 0) return [];
  return [
    table(
      heading,
      items.map((item) => cells(item).map(String)),
    ),
  ];
}

function percent(rate: number | undefined): string {
  return rate === undefined ? "" : `${(rate * 100).toFixed(1)} %`;
}

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
