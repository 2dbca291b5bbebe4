import { sql, type Selectable } from "kysely";
import type { DiagnosticResult, DiagnosticStatus } from "#protocol/api/diagnostics.ts";
import { toHex } from "#protocol/bytes/hex.ts";
import type { Catalogue, Catalogues } from "#protocol/uds/catalogue.ts";
import { decodeExchange } from "#protocol/uds/decode.ts";
import type { Db } from "#server/database/connection.ts";
import { ecuTypesOf } from "#server/vehicles/queries.ts";
import type { DiagnosticRequestTable } from "./table.ts";

/** Where results are, and what their bytes mean. */
export interface ResultSource {
  db: Db;
  catalogues: Catalogues;
}

export interface ResultFilter {
  vin?: string | undefined;
  ecu_id?: string | undefined;
  zone_id?: string | undefined;
  status?: DiagnosticStatus | undefined;
  session_id?: string | undefined;
  requested_by?: string | undefined;
  /** SID in hex, `0x22`. */
  service_id?: string | undefined;
  from?: string | undefined;
  to?: string | undefined;
}

/** A result with the number of its last change. */
export interface RevisedResult {
  revision: string;
  result: DiagnosticResult;
}

export async function resultById(
  source: ResultSource,
  requestId: string,
): Promise<DiagnosticResult | undefined> {
  return (await revisedResult(source, {}, requestId))?.result;
}

/** Results, newest request first, from behind `cursor` on. */
export async function listResults(
  source: ResultSource,
  { limit, cursor, ...filter }: ResultFilter & { limit: number; cursor?: string | undefined },
): Promise<DiagnosticResult[]> {
  let query = filtered(source.db, filter).orderBy("request_id", "desc").limit(limit);
  if (cursor !== undefined) query = query.where("request_id", "<", cursor);
  return (await asResults(source, await query.execute())).map(({ result }) => result);
}

/** Results that have changed after `revision`, in the order of their last change. */
export async function changedResults(
  source: ResultSource,
  filter: ResultFilter,
  revision: string,
  limit: number,
): Promise<RevisedResult[]> {
  const query = filtered(source.db, filter)
    .where("revision", ">", revision)
    .orderBy("revision")
    .limit(limit);
  return asResults(source, await query.execute());
}

/** A result, if it fits the filter. */
export async function revisedResult(
  source: ResultSource,
  filter: ResultFilter,
  requestId: string,
): Promise<RevisedResult | undefined> {
  const row = await filtered(source.db, filter)
    .leftJoin("vci", (join) =>
      join.onRef("vci.vin", "=", "diagnostic_request.vin").on("vci.current", "=", true),
    )
    .select("vci.ecus")
    .where("request_id", "=", requestId)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const typeOf = (_: string, ecuId: string) =>
    row.ecus?.find(({ ecu_id }) => ecu_id === ecuId)?.ecu_type;
  return revised(row, typeOf, source.catalogues);
}

const columns = ["vin", "ecu_id", "zone_id", "status", "session_id", "requested_by"] as const;

function filtered(db: Db, { service_id, from, to, ...equal }: ResultFilter) {
  let query = db.selectFrom("diagnostic_request").selectAll("diagnostic_request");
  for (const column of columns) {
    const value = equal[column];
    if (value !== undefined)
      query = query.where(`diagnostic_request.${column}`, "=", value as DiagnosticStatus);
  }
  if (service_id !== undefined) {
    const sid = Buffer.from(service_id.slice(-2), "hex");
    query = query.where(sql<Buffer>`substring(request_data from 1 for 1)`, "=", sid);
  }
  if (from !== undefined) query = query.where("created_at", ">=", new Date(from));
  if (to !== undefined) query = query.where("created_at", "<", new Date(to));
  return query;
}

type ResultRow = Selectable<DiagnosticRequestTable>;

/** Decoded as the ECUs' types are now, by the newest VCI of each vehicle. */
async function asResults(
  { db, catalogues }: ResultSource,
  rows: readonly ResultRow[],
): Promise<RevisedResult[]> {
  const typeOf = await ecuTypesOf(
    db,
    rows.map(({ vin }) => vin),
  );
  return rows.map((row) => revised(row, typeOf, catalogues));
}

function revised(
  row: ResultRow,
  typeOf: (vin: string, ecuId: string) => string | undefined,
  catalogues: Catalogues,
): RevisedResult {
  const catalogueOf = (ecuId: string | null) =>
    catalogues.of(ecuId === null ? undefined : typeOf(row.vin, ecuId));
  return { revision: row.revision, result: asResult(row, catalogueOf) };
}

function asResult(
  row: ResultRow,
  catalogueOf: (ecuId: string | null) => Catalogue,
): DiagnosticResult {
  const { created_at, completed_at, request_data: request } = row;
  const at = (time: Date | null) => time?.toISOString() ?? null;
  return {
    request_id: row.request_id,
    vin: row.vin,
    ecu_id: row.ecu_id,
    zone_id: row.zone_id,
    service_id: `0x${toHex(request.subarray(0, 1))}`,
    request_data: toHex(request),
    request_decoded: decodeExchange(request, undefined, catalogueOf(row.ecu_id)),
    status: row.status,
    attempts: row.attempts,
    error: row.error,
    responses: row.responses.map(({ ecu_id, response_data }) => ({
      ecu_id,
      response_data,
      decoded: decodeExchange(request, Buffer.from(response_data, "hex"), catalogueOf(ecu_id)),
    })),
    interlock: row.interlock,
    requested_by: row.requested_by,
    approved_by: row.approved_by,
    session_id: row.session_id,
    created_at: created_at.toISOString(),
    expires_at: row.expires_at.toISOString(),
    sent_at: at(row.sent_at),
    completed_at: at(completed_at),
    duration_ms: completed_at ? completed_at.getTime() - created_at.getTime() : null,
    hops: row.hops,
  };
}
