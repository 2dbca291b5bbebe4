import { sql } from "kysely";
import type { Anomaly as AnomalyAnswer, TelemetrySample } from "#protocol/api/telemetry.ts";
import type { Db } from "#server/database/connection.ts";
import type { Anomaly } from "./anomaly.ts";
import "./table.ts";

export interface Sample {
  vin: string;
  ts: Date;
  /** JSON object of the signals. */
  signals: string;
}

/** Stores a batch of samples, and what was found in them, in one transaction. */
export async function insertSamples(
  db: Db,
  samples: readonly Sample[],
  anomalies: readonly Anomaly[],
): Promise<void> {
  if (anomalies.length === 0) return insertTelemetry(db, samples);
  return db.transaction().execute(async (tx) => {
    await insertTelemetry(tx, samples);
    await tx
      .insertInto("anomaly")
      .values([...anomalies])
      .execute();
  });
}

/**
 * Columns travel as text of one line a sample: an array parameter would quote every quotation mark
 * of the JSON, only for the database to undo it, a third of the work on both sides. No value has a
 * line break: ids can't, and JSON escapes them.
 */
async function insertTelemetry(db: Db, samples: readonly Sample[]): Promise<void> {
  const vins = samples.map(({ vin }) => vin).join("\n");
  const times = samples.map(({ ts }) => ts.toISOString()).join("\n");
  const signals = samples.map((sample) => sample.signals).join("\n");
  await sql`
    insert into telemetry (vin, ts, signals)
    select vin, ts::timestamptz, signals::json
    from unnest(
      string_to_array(${vins}, chr(10)),
      string_to_array(${times}, chr(10)),
      string_to_array(${signals}, chr(10))
    ) as sample (vin, ts, signals)
  `.execute(db);
}

/** Samples of a vehicle, newest first. The cursor is the `ts` and `sample_id` of the last one seen. */
export async function listSamples(
  db: Db,
  vin: string,
  { limit, cursor }: { limit: number; cursor?: { ts: Date; sampleId: number } | undefined },
): Promise<(TelemetrySample & { sample_id: number })[]> {
  let query = db
    .selectFrom("telemetry")
    .selectAll()
    .where("vin", "=", vin)
    .orderBy("ts", "desc")
    .orderBy("sample_id", "desc")
    .limit(limit);
  if (cursor)
    query = query.where(sql<boolean>`(ts, sample_id) < (${cursor.ts}, ${cursor.sampleId})`);
  return (await query.execute()).map((row) => ({
    ...row,
    ts: row.ts.toISOString(),
    received_at: row.received_at.toISOString(),
  }));
}

/** Anomalies, newest first, from behind `cursor` on. */
export async function listAnomalies(
  db: Db,
  { limit, cursor, vin }: { limit: number; cursor?: number | undefined; vin?: string | undefined },
): Promise<AnomalyAnswer[]> {
  let query = db.selectFrom("anomaly").selectAll().orderBy("anomaly_id", "desc").limit(limit);
  if (vin !== undefined) query = query.where("vin", "=", vin);
  if (cursor !== undefined) query = query.where("anomaly_id", "<", cursor);
  return (await query.execute()).map((row) => ({
    ...row,
    anomaly_id: String(row.anomaly_id),
    ts: row.ts.toISOString(),
    detected_at: row.detected_at.toISOString(),
  }));
}
