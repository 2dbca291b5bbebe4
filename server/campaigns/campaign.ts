import type { Selectable } from "kysely";
import type { CampaignState, Wave } from "#protocol/api/campaign.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { CampaignTable, CampaignVehicleTable } from "./table.ts";

export type Campaign = Selectable<CampaignTable>;
export type CampaignVehicle = Selectable<CampaignVehicleTable>;

/** What an operator does with a campaign; `halt`, `end` and `drain` are the gateway's. */
export const campaignInputs = [
  "submit",
  "approve",
  "reject",
  "withdraw",
  "schedule",
  "start",
  "pause",
  "resume",
  "finish",
  "stop",
  /** What it brings is not to be had any more. */
  "halt",
  /** Its time is over. */
  "end",
  /** The last vehicle that was under way has ended. */
  "drain",
] as const;
export type CampaignInput = (typeof campaignInputs)[number];

const transitions: Record<CampaignState, Partial<Record<CampaignInput, CampaignState>>> = {
  draft: { submit: "awaiting_approval" },
  awaiting_approval: { approve: "scheduled", reject: "draft", withdraw: "draft" },
  scheduled: {
    schedule: "scheduled",
    start: "running",
    withdraw: "draft",
    stop: "stopped",
    halt: "paused",
    end: "finished",
  },
  running: {
    pause: "paused",
    finish: "finishing",
    stop: "stopped",
    halt: "paused",
    end: "finishing",
  },
  paused: { resume: "running", finish: "finishing", stop: "stopped", end: "finishing" },
  finishing: { stop: "stopped", drain: "finished" },
  finished: {},
  stopped: {},
};

/** The next state, or undefined when the input is not for this one. */
export function nextState(state: CampaignState, input: CampaignInput): CampaignState | undefined {
  return transitions[state][input];
}

/** @throws ProblemError CAMPAIGN_STATE, with what may be done instead */
export function demandNext({ state }: { state: CampaignState }, input: CampaignInput) {
  const next = nextState(state, input);
  if (next === undefined) throw refused(state, input);
  return next;
}

/** @throws ProblemError CAMPAIGN_STATE */
export function demandDraft({ state }: { state: CampaignState }, what: "patch" | "delete"): void {
  if (state !== "draft") throw refused(state, what);
}

function refused(state: CampaignState, what: string): ProblemError {
  const byOperators = (Object.keys(transitions[state]) as CampaignInput[]).filter(
    (input) => !["halt", "end", "drain"].includes(input),
  );
  const allowed = [...(state === "draft" ? ["patch", "delete"] : []), ...byOperators, "clone"];
  return new ProblemError(
    "CAMPAIGN_STATE",
    `${what} is not for a campaign that is ${state}; allowed: ${allowed.join(", ")}`,
  );
}

/** States in which a campaign keeps its ECU types from others, and may have vehicles under way. */
export const activeStates = ["running", "paused", "finishing"] as const satisfies CampaignState[];

/** Has this vehicle ended in its campaign, well or badly? */
export function hasEnded({ status }: Pick<CampaignVehicle, "status">): boolean {
  return !["waiting", "updating", "soaking", "reverting"].includes(status);
}

/**
 * The wave that a vehicle belongs to; undefined when it is beyond the campaign's percentage.
 * @param share of the vehicle: `share(campaign_id, vin)`, in [0, 1)
 */
export function waveOf(
  { percentage, waves }: { percentage: number; waves: readonly Pick<Wave, "share">[] },
  share: number,
): number | undefined {
  const part = percentage / 100;
  if (share >= part) return undefined;
  const position = (share / part) * 100;
  let end = 0;
  for (const [index, wave] of waves.entries()) {
    end += wave.share;
    if (position < end) return index;
  }
  // Shares make 100 but for the rounding of their sum.
  return waves.length - 1;
}
