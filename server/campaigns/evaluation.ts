import type { StopFinding } from "#protocol/api/campaign.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { emit } from "#server/events/outbox.ts";
import type { Log } from "#server/runtime/log.ts";
import { activeStates, type Campaign } from "./campaign.ts";
import {
  activeCampaigns,
  countsOfCampaign,
  judgedCampaign,
  noteGate,
  openWave,
  type JudgedCampaign,
} from "./counter-queries.ts";
import { eachCampaign } from "./each-campaign.ts";
import { moveCampaign } from "./move.ts";
import { lockCampaign } from "./queries.ts";
import { verdictOf, waveToCome } from "./verdict.ts";

export interface EvaluationDeps {
  db: Db;
  /** Called once a change is committed. */
  changed: () => Promise<void>;
  log: Log;
  now?: () => Date;
  /** How long the counts of a campaign gather before it is looked at. */
  everyMs?: number;
}

/** Draws the conclusions from what becomes of the vehicles of campaigns. */
export interface Evaluation {
  /** The counters of a campaign have changed, or are about to: it is looked at soon. */
  counted(campaignId: string): void;
  /** Looks at every campaign that has vehicles, for what time alone brings. @returns how many changed */
  all(now: Date): Promise<number>;
  /** Begins nothing any more. @returns resolves when what is under way has ended */
  stop(): Promise<void>;
}

/** However many vehicles of a campaign report, this gateway looks at it no more often. */
const EVERY_MS = 1000;

/**
 * Looks at the counters of campaigns, never at their vehicles: what that costs does not depend on
 * how many there are.
 */
export function createEvaluation(deps: EvaluationDeps): Evaluation {
  const { log, everyMs = EVERY_MS, now = () => new Date() } = deps;
  const waiting = new Map<string, NodeJS.Timeout>();
  const running = new Set<Promise<void>>();
  let stopped = false;

  async function look(campaignId: string): Promise<void> {
    try {
      await evaluate(deps, campaignId, now());
    } catch (error) {
      // The database may be closed by then.
      if (stopped) return;
      log.error({ err: error, campaign_id: campaignId }, "A campaign could not be evaluated");
    }
  }

  return {
    counted(campaignId) {
      if (stopped || waiting.has(campaignId)) return;
      const begin = () => {
        waiting.delete(campaignId);
        const work = look(campaignId).finally(() => running.delete(work));
        running.add(work);
      };
      waiting.set(campaignId, setTimeout(begin, everyMs).unref());
    },
    async all(at) {
      const active = (await activeCampaigns(deps.db)).map(({ campaign_id }) => campaign_id);
      const { done } = await eachCampaign(log, "evaluation", active, async (campaignId) =>
        (await evaluate(deps, campaignId, at)) ? 1 : 0,
      );
      return done;
    },
    async stop() {
      stopped = true;
      for (const timer of waiting.values()) clearTimeout(timer);
      waiting.clear();
      await Promise.all(running);
    },
  };
}

/**
 * Stops a campaign whose failures are too many, or opens its next wave. Of several gateways that see
 * the same, one acts.
 * @returns whether there was something to do
 */
export async function evaluate(
  { db, changed }: Pick<EvaluationDeps, "db" | "changed">,
  campaignId: string,
  now: Date,
): Promise<boolean> {
  let hasChanged = false;
  // Waves may follow each other at once.
  while (await needsAction(db, campaignId, now)) {
    const acted = await db.transaction().execute(async (tx) => {
      const campaign = await lockCampaign(tx, campaignId);
      return campaign !== undefined && act(tx, campaign, now);
    });
    if (!acted) break;
    hasChanged = true;
  }
  if (hasChanged) await changed();
  return hasChanged;
}

/** Looks without a lock: most of the time there is nothing to do. */
async function needsAction(db: Db, campaignId: string, now: Date): Promise<boolean> {
  const campaign = await judgedCampaign(db, campaignId);
  return campaign !== undefined && (await decide(db, campaign, now)).kind !== "nothing";
}

type Decision =
  | { kind: "nothing" }
  | { kind: "stop"; because: StopFinding }
  | { kind: "open"; wave: number }
  | { kind: "gate"; metAt: Date | null };

async function decide(db: Db, campaign: JudgedCampaign, now: Date): Promise<Decision> {
  const { campaign_id, state, started_at, gate_met_at } = campaign;
  const isActive = started_at !== null && (activeStates as readonly string[]).includes(state);
  if (!isActive) return { kind: "nothing" };
  const counts = await countsOfCampaign(db, campaign_id);
  const verdict = verdictOf(campaign, counts);
  if (verdict.stop) return { kind: "stop", because: verdict.because };
  if (state !== "running") return { kind: "nothing" };
  const next = waveToCome(campaign, counts, now);
  if (next.kind === "open") return { kind: "open", wave: next.wave };
  const metAt = next.kind === "due" ? next.gate_met_at : null;
  return metAt?.getTime() === gate_met_at?.getTime()
    ? { kind: "nothing" }
    : { kind: "gate", metAt };
}

/** Does what is to be done with a locked campaign. @returns whether others have to know */
async function act(tx: Tx, campaign: Campaign, now: Date): Promise<boolean> {
  const { campaign_id, name } = campaign;
  const decision = await decide(tx, campaign, now);
  switch (decision.kind) {
    case "nothing":
      return false;
    case "gate":
      await noteGate(tx, campaign_id, decision.metAt);
      return false;
    case "open": {
      await openWave(tx, campaign_id, now);
      const data = { name, wave: decision.wave };
      await emit(tx, { kind: "campaign.wave_opened", subject: campaign_id, data });
      return true;
    }
    case "stop":
      await stopFor(tx, campaign, decision.because, now);
      return true;
  }
}

async function stopFor(tx: Tx, campaign: Campaign, finding: StopFinding, now: Date): Promise<void> {
  const { scope, failed, finished, lower_bound, threshold } = finding;
  const whose = scope === "whole" ? "vehicles" : `vehicles with ${nameOf(scope)}`;
  const detail =
    `${failed} of ${finished} ${whose} failed: more than ${percent(lower_bound)} at ` +
    `${percent(campaign.stop_rule?.confidence ?? 0)} confidence, where ${percent(threshold)} is allowed`;
  const reason = { code: "CAMPAIGN_STOP_RULE", detail, finding };
  await moveCampaign(tx, campaign, { input: "stop", actor: "gateway", now, reason });
}

function nameOf({ ecu_type, hardware_version }: { ecu_type: string; hardware_version: string }) {
  return `${ecu_type} ${hardware_version}`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
