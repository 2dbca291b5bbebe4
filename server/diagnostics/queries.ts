import { sql, type Selectable } from "kysely";
import type { DiagnosticResult, DiagnosticStatus } from "#protocol/api/diagnostics.ts";
import { toHex } from "#protocol/bytes/hex.ts";
import type { Catalogue, Catalogues } from "#protocol/uds/catalogue.ts";
import { decodeExchange } from "#protocol/uds/decode.ts";
import type { Db } from "#server/database/connection.ts";
import { ecuTypesOf } from "#server/vehicles/queries.ts";
import type { DiagnosticError, DiagnosticRequestTable, RawResponse } from "./table.ts";

export interface NewRequest {
  request_id: string;
  vin: string;
  ecu_id: string | null;
  zone_id: string | null;
  request_data: Buffer;
  timeout_ms: number;
  max_attempts: number;
  requested_by: string;
}

export async function insertRequest(db: Db, request: NewRequest): Promise<void> {
  await db
    .insertInto("diagnostic_request")
    .values({ ...request, status: "queued" })
    .execute();
}

/** Notes an attempt before it is made. @returns false when the request has ended meanwhile */
export async function noteAttempt(db: Db, requestId: string, attempt: number): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("diagnostic_request")
    .set({ status: "sent", attempts: attempt })
    .where("request_id", "=", requestId)
    .where("completed_at", "is", null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Ends a request; the first end counts. @returns false when it had ended, or is another vehicle's */
export async function finishRequest(
  db: Db,
  { vin, request_id }: { vin: string; request_id: string },
  end: { status: DiagnosticStatus; responses: RawResponse[]; error?: DiagnosticError | undefined },
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("diagnostic_request")
    .set({
      status: end.status,
      responses: JSON.stringify(end.responses),
      error: end.error ? JSON.stringify(end.error) : null,
      completed_at: sql<Date>`now()`,
    })
    .where("request_id", "=", request_id)
    .where("vin", "=", vin)
    .where("completed_at", "is", null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** What an answer has to be held against; undefined when the vehicle has no such open request. */
export async function openRequest(
  db: Db,
  vin: string,
  requestId: string,
): Promise<{ ecu_id: string | null; attempts: number; max_attempts: number } | undefined> {
  return db
    .selectFrom("diagnostic_request")
    .select(["ecu_id", "attempts", "max_attempts"])
    .where("request_id", "=", requestId)
    .where("vin", "=", vin)
    .where("completed_at", "is", null)
    .executeTakeFirst();
}

/** Ends requests that a gateway was waiting for when it stopped. @returns how many */
export async function expireRequests(db: Db): Promise<number> {
  const { numUpdatedRows } = await db
    .updateTable("diagnostic_request")
    .set({
      status: "expired",
      error: JSON.stringify({
        code: "GATEWAY_RESTARTED",
        message: "the gateway stopped while it waited",
      }),
      completed_at: sql<Date>`now()`,
    })
    .where("completed_at", "is", null)
    // Twice what all attempts may take: whoever waits for it has given up long ago.
    .where(
      sql<boolean>`created_at < now() - 2 * max_attempts * timeout_ms * interval '1 millisecond'`,
    )
    .executeTakeFirst();
  return Number(numUpdatedRows);
}

export async function resultById(
  db: Db,
  catalogues: Catalogues,
  requestId: string,
): Promise<DiagnosticResult | undefined> {
  const row = await db
    .selectFrom("diagnostic_request")
    .selectAll()
    .where("request_id", "=", requestId)
    .executeTakeFirst();
  const [result] = await asResults(db, catalogues, row ? [row] : []);
  return result;
}

export interface ResultFilter {
  limit: number;
  cursor?: string | undefined;
  vin?: string | undefined;
  ecu_id?: string | undefined;
  status?: DiagnosticStatus | undefined;
}

/** Results, newest request first, from behind `cursor` on. */
export async function listResults(
  db: Db,
  catalogues: Catalogues,
  filter: ResultFilter,
): Promise<DiagnosticResult[]> {
  let query = db
    .selectFrom("diagnostic_request")
    .selectAll()
    .orderBy("request_id", "desc")
    .limit(filter.limit);
  if (filter.cursor !== undefined) query = query.where("request_id", "<", filter.cursor);
  if (filter.vin !== undefined) query = query.where("vin", "=", filter.vin);
  if (filter.ecu_id !== undefined) query = query.where("ecu_id", "=", filter.ecu_id);
  if (filter.status !== undefined) query = query.where("status", "=", filter.status);
  return asResults(db, catalogues, await query.execute());
}

type ResultRow = Selectable<DiagnosticRequestTable>;

/** Decoded as the ECUs' types are now, by the newest VCI of each vehicle. */
async function asResults(
  db: Db,
  catalogues: Catalogues,
  rows: readonly ResultRow[],
): Promise<DiagnosticResult[]> {
  const typeOf = await ecuTypesOf(
    db,
    rows.map(({ vin }) => vin),
  );
  return rows.map((row) =>
    asResult(row, (ecuId) => catalogues.of(ecuId === null ? undefined : typeOf(row.vin, ecuId))),
  );
}

function asResult(
  { timeout_ms: _, max_attempts: __, ...row }: ResultRow,
  catalogueOf: (ecuId: string | null) => Catalogue,
): DiagnosticResult {
  const request = row.request_data;
  return {
    ...row,
    service_id: `0x${toHex(request.subarray(0, 1))}`,
    request_data: toHex(request),
    request_decoded: decodeExchange(request, undefined, catalogueOf(row.ecu_id)),
    responses: row.responses.map(({ ecu_id, response_data }) => ({
      ecu_id,
      response_data,
      decoded: decodeExchange(request, Buffer.from(response_data, "hex"), catalogueOf(ecu_id)),
    })),
    created_at: row.created_at.toISOString(),
    completed_at: row.completed_at?.toISOString() ?? null,
    duration_ms: row.completed_at ? row.completed_at.getTime() - row.created_at.getTime() : null,
  };
}
