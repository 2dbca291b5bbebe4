import { sql } from "kysely";
import type { Db, Tx } from "#server/database/connection.ts";
import type { Campaign } from "./campaign.ts";
import { counted, nothing, type Counts, type GroupCounts } from "./count.ts";

/** The counts of one wave, as a whole (both names empty) or of ECUs of a type and hardware. */
export interface WaveCounts extends GroupCounts {
  wave: number;
}

/** What became of a campaign's vehicles; as many rows as it has waves and kinds of ECUs. */
export async function countsOfCampaign(db: Db, campaignId: string): Promise<WaveCounts[]> {
  const rows = await db
    .selectFrom("campaign_counter")
    .select(["wave", "ecu_type", "hardware_version"])
    .select(counted.map((each) => sql<number>`sum(${sql.ref(each)})::integer`.as(each)))
    .where("campaign_id", "=", campaignId)
    .groupBy(["wave", "ecu_type", "hardware_version"])
    .orderBy("ecu_type")
    .orderBy("hardware_version")
    .orderBy("wave")
    .execute();
  return rows.map(({ wave, ecu_type, hardware_version, ...counts }) => ({
    wave,
    ecu_type,
    hardware_version,
    counts,
  }));
}

/** The same over all waves, the whole first. */
export function overWaves(counts: readonly WaveCounts[]): GroupCounts[] {
  const sums = new Map<string, GroupCounts>();
  for (const { ecu_type, hardware_version, counts: some } of counts) {
    const key = `${ecu_type}\n${hardware_version}`;
    const sum = sums.get(key) ?? { ecu_type, hardware_version, counts: nothing() };
    for (const each of counted) sum.counts[each] += some[each];
    sums.set(key, sum);
  }
  return [...sums.values()];
}

/** Of the whole vehicles of one wave. */
export function ofWave(counts: readonly WaveCounts[], wave: number): Counts {
  const own = counts.find((each) => each.wave === wave && each.ecu_type === "");
  return own?.counts ?? nothing();
}

const judged = [
  "campaign_id",
  "state",
  "started_at",
  "stop_rule",
  "waves",
  "waves_opened",
  "gate_met_at",
] as const;

/** What is decided of a campaign, and by what, beside its counters. */
export type JudgedCampaign = Pick<Campaign, (typeof judged)[number]>;

/** Without what may be long. */
export async function judgedCampaign(
  db: Db,
  campaignId: string,
): Promise<JudgedCampaign | undefined> {
  return db
    .selectFrom("campaign")
    .select(judged)
    .where("campaign_id", "=", campaignId)
    .executeTakeFirst();
}

/** Opens a campaign's next wave; for books of other gateways it has changed. */
export async function openWave(tx: Tx, campaignId: string, now: Date): Promise<void> {
  await tx
    .updateTable("campaign")
    .set({
      waves_opened: sql<Date[]>`waves_opened || ${now}::timestamptz`,
      gate_met_at: null,
      changed_at: sql<Date>`clock_timestamp()`,
    })
    .where("campaign_id", "=", campaignId)
    .execute();
}

/** Notes since when the gate of a campaign's next wave has been met; null: it is not. */
export async function noteGate(tx: Tx, campaignId: string, metAt: Date | null): Promise<void> {
  await tx
    .updateTable("campaign")
    .set({ gate_met_at: metAt })
    .where("campaign_id", "=", campaignId)
    .execute();
}

/** Campaigns that there may be something to decide about. */
export async function activeCampaigns(db: Db): Promise<Pick<Campaign, "campaign_id">[]> {
  return db
    .selectFrom("campaign")
    .select("campaign_id")
    .where("state", "in", ["running", "paused", "finishing"])
    .orderBy("campaign_id")
    .limit(10_000)
    .execute();
}
