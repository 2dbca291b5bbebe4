import { randomUUIDv7 } from "node:crypto";
import { insertCommand } from "#server/commands/queries.ts";
import type { Tx } from "#server/database/connection.ts";
import { BATCH, type BatchDeps } from "./batch.ts";
import { broughtTo } from "./brought.ts";
import type { Campaign, CampaignVehicle } from "./campaign.ts";
import { goneBack, notReverted, reverting, type Participation } from "./participation.ts";
import {
  isOneLeft,
  lockSome,
  releasesBrought,
  saveStandings,
  targetsInCampaign,
  type Standers,
  type Standing,
} from "./progress-queries.ts";
import { lockCampaign } from "./queries.ts";
import { endWork, lockReverting, notePace, stillThere, type Reverting } from "./work-queries.ts";

export interface RevertDeps extends BatchDeps {
  /** Sends a vehicle what waits for it. */
  deliver: (vin: string) => void;
  /** How long the command waits for a vehicle that is offline, in seconds. */
  ttlSeconds: number;
}

const MINUTE = 60_000;

/**
 * Tells vehicles that succeeded to go back to what they ran before, no more a minute than the
 * operator said.
 * @returns how many
 */
export async function tellToRevert(
  deps: RevertDeps,
  campaignId: string,
  now: Date,
): Promise<number> {
  const told = await deps.db.transaction().execute(async (tx) => {
    const campaign = await lockCampaign(tx, campaignId);
    return campaign === undefined ? [] : tellBatch(deps, tx, campaign, now);
  });
  for (const vin of told) deps.deliver(vin);
  if (told.length > 0) deps.counted(campaignId);
  return told.length;
}

async function tellBatch(
  deps: RevertDeps,
  tx: Tx,
  campaign: Campaign,
  now: Date,
): Promise<string[]> {
  const { campaign_id, revert_at: until, revert_by, revert_per_min } = campaign;
  if (until === null || revert_per_min === null) return [];
  const which: Standers = { statuses: ["soaking", "succeeded"], until };
  const pace = paceOf(campaign.reverted_to, revert_per_min, now);
  const batch = await lockSome(tx, campaign_id, which, Math.min(pace.due, BATCH));
  const there = await stillThere(
    tx,
    batch.map(({ vin }) => vin),
  );
  const expires_at = new Date(now.getTime() + deps.ttlSeconds * 1000);
  const standings: Standing[] = [];
  for (const before of batch) {
    const command_id = randomUUIDv7();
    const { vin, wave } = before;
    if (!there.has(vin)) {
      const after = notReverted(before, "the vehicle was removed", now);
      standings.push({ vin, wave, before, after });
      continue;
    }
    const targets = await targetsInCampaign(tx, campaign_id, vin);
    const ecu_ids = [...new Set(targets.map(({ ecu_id }) => ecu_id))].slice(0, MAX_ECUS);
    await insertCommand(tx, {
      command_id,
      vin,
      command: "ota_rollback",
      params: ecu_ids.length === 0 ? undefined : { ecu_ids },
      issued_by: revert_by ?? "gateway",
      expires_at,
    });
    standings.push({ vin, wave, before, after: reverting(before), command_id });
  }
  await saveStandings(tx, campaign_id, standings);
  await notePace(tx, campaign_id, pace.after(batch.length));
  if (!(await isOneLeft(tx, campaign_id, which))) await endWork(tx, campaign_id, "revert");
  return [...there];
}

/** As many as a command names. */
const MAX_ECUS = 256;

/** How many are due by the pace; what a standstill has left undone is not made up for. */
function paceOf(usedUpTo: Date | null, perMinute: number, now: Date) {
  const each = MINUTE / perMinute;
  const earliest = now.getTime() - MINUTE;
  const used = Math.min(Math.max(usedUpTo?.getTime() ?? earliest, earliest), now.getTime());
  return {
    due: Math.floor((now.getTime() - used) / each),
    after: (count: number) => new Date(used + count * each),
  };
}

/**
 * Looks at some of the vehicles that were told to go back: whether they have, or won't.
 * @returns how many have ended
 */
export async function followReverting(
  { db, counted }: BatchDeps,
  campaignId: string,
  now: Date,
): Promise<number> {
  const ended = await db.transaction().execute(async (tx) => {
    const campaign = await lockCampaign(tx, campaignId);
    if (campaign === undefined) return 0;
    const releases = await releasesBrought(tx, campaign.releases);
    const standings = (await lockReverting(tx, campaignId, BATCH)).flatMap((before) => {
      // One that was removed, or has only registered again, has shown nothing.
      const hasGoneBack = before.ecus !== null && broughtTo(before.ecus, releases) !== "all";
      const after = hasGoneBack ? goneBack(before, now) : refused(before, campaign, now);
      return after ? [{ vin: before.vin, wave: before.wave, before, after }] : [];
    });
    await saveStandings(tx, campaignId, standings);
    return standings.length;
  });
  if (ended > 0) counted(campaignId);
  return ended;
}

/** The vehicle has not gone back, and won't by this command. */
function refused(
  before: CampaignVehicle & Pick<Reverting, "command_status" | "command_at">,
  { deadline_min }: Campaign,
  now: Date,
): Participation | undefined {
  const { command_status, command_at } = before;
  switch (command_status) {
    case "queued":
    case "sent":
    case "delivered":
    case "accepted":
      return undefined;
    case "completed": {
      const waited = now.getTime() - (command_at?.getTime() ?? 0);
      return waited < deadline_min * MINUTE
        ? undefined
        : notReverted(before, "it answered that it has, and shows that it has not", now);
    }
    case null:
      return notReverted(before, "the command is not on record any more", now);
    default:
      return notReverted(before, `the command was ${command_status}`, now);
  }
}
