import type { ServerConfig } from "#config/server.ts";
import type { DiagnosticBroadcast, DiagnosticSend } from "#protocol/api/diagnostics.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { toHex } from "#protocol/bytes/hex.ts";
import type { Catalogues } from "#protocol/uds/catalogue.ts";
import { isReadOnly } from "#protocol/uds/service.ts";
import type { AuditLog } from "#server/audit/audit-log.ts";
import type { Db } from "#server/database/connection.ts";
import { requestApproval } from "#server/diagnostic-policy/approvals.ts";
import {
  authorize,
  DiagnosticDenied,
  type Authorization,
} from "#server/diagnostic-policy/authorize.ts";
import { demandFree } from "#server/diagnostic-sessions/lock.ts";
import { revokedSince } from "#server/diagnostic-sessions/revocation-queries.ts";
import type { Operator } from "#server/http/access.ts";
import { operatorById } from "#server/operators/queries.ts";
import { demandEcus } from "#server/vehicles/ecus.ts";
import type { CurrentEcus } from "#server/vehicles/queries.ts";
import type { Delivery } from "./delivery.ts";
import type { Feed } from "./feed.ts";
import { insertRequest, requestByKey, type NewRequest, type SentRequest } from "./queries.ts";
import { requestBytes } from "./request.ts";
import { asked } from "./transmission.ts";

export interface DiagnosticDeps {
  db: Db;
  audit: AuditLog;
  delivery: Delivery;
  feed: Feed;
  catalogues: Catalogues;
  config: ServerConfig["diagnostics"];
}

/** How the request came. */
export interface Call {
  /** What it will be known by. */
  request_id: string;
  /** By `performance.now()`. */
  received: number;
}

/** Whom a request asks: one ECU, or all of a zone. */
type Target = Pick<NewRequest, "ecu_id" | "zone_id">;
type Ecus = CurrentEcus["ecus"];

/**
 * Sends a UDS request to one ECU, or has it wait for the vehicle or for an approval.
 * @returns the request's id; that of an earlier one with its idempotency key, if there is one
 * @throws ProblemError DIAGNOSTIC_INVALID, VEHICLE_UNKNOWN, VCI_MISSING, ECU_UNKNOWN, ECU_LOCKED,
 * SESSION_UNKNOWN, SESSION_OF_ANOTHER, SESSION_ENDED, DIAGNOSTIC_DENIED, IDEMPOTENCY_KEY_REUSED
 */
export async function sendDiagnostic(
  deps: DiagnosticDeps,
  operator: Operator,
  body: DiagnosticSend,
  call: Call,
): Promise<string> {
  const { ecus } = await demandEcus(deps.db, body.vin);
  const target = ecus.filter(({ ecu_id }) => ecu_id === body.ecu_id);
  if (target.length === 0) throw new ProblemError("ECU_UNKNOWN", body.ecu_id);
  return make(deps, operator, body, { ecu_id: body.ecu_id, zone_id: null }, target, call);
}

/**
 * Sends a UDS request to every ECU behind a zonal gateway.
 * @returns the request's id
 * @throws ProblemError as above, with ZONE_UNKNOWN for ECU_UNKNOWN
 */
export async function broadcastDiagnostic(
  deps: DiagnosticDeps,
  operator: Operator,
  body: DiagnosticBroadcast,
  call: Call,
): Promise<string> {
  const { zones, ecus } = await demandEcus(deps.db, body.vin);
  const { zone_id } = body;
  if (!zones.some((zone) => zone.zone_id === zone_id))
    throw new ProblemError("ZONE_UNKNOWN", zone_id);
  const target = ecus.filter((ecu) => ecu.zone_id === zone_id);
  return make(deps, operator, body, { ecu_id: null, zone_id }, target, call);
}

/**
 * Throws what forbids a request that has waited, if something does by now: the operator's token or
 * the rules may have changed.
 * @throws ProblemError OPERATOR_REVOKED, DIAGNOSTIC_DENIED
 */
export async function recheck(db: Db, request: SentRequest): Promise<void> {
  const { vin, requested_by, token_id, created_at } = request;
  const operator = await operatorById(db, token_id);
  if (operator === undefined) throw new ProblemError("OPERATOR_REVOKED", requested_by);
  // What is on its way out when everything is ended goes no further.
  const ended = await revokedSince(db, { vin, operator: requested_by, token_id }, created_at);
  if (ended !== undefined) throw new ProblemError("DIAGNOSTIC_DENIED", `revoked: ${ended}`);
  const { ecus } = await demandEcus(db, request.vin);
  const verdict = await authorize(db, {
    operator,
    vin: request.vin,
    ecus: ecus.filter(({ ecu_id, zone_id }) =>
      request.ecu_id === null ? zone_id === request.zone_id : ecu_id === request.ecu_id,
    ),
    requests: [request.request_data],
  });
  if (verdict.kind === "approval" && request.approved_by === null)
    throw new ProblemError("DIAGNOSTIC_DENIED", verdict.reason);
}

async function make(
  deps: DiagnosticDeps,
  operator: Operator,
  body: DiagnosticSend | DiagnosticBroadcast,
  target: Target,
  ecus: Ecus,
  { request_id, received }: Call,
): Promise<string> {
  const { db, config } = deps;
  const { vin } = body;
  const request_data = requestBytes(body.service_id, body.data);
  const readsOnly = isReadOnly(request_data);
  const ttl = body.ttl_s ?? (readsOnly ? config.ttl_s : config.change_ttl_s);
  const request: NewRequest = {
    ...target,
    request_id,
    vin,
    request_data,
    timeout_ms: body.timeout_ms ?? config.timeout_ms,
    // Silence is an answer, too, where everybody was asked: ISO 14229-1 has ECUs keep some to themselves.
    max_attempts: readsOnly && target.zone_id === null ? config.tries : 1,
    requested_by: operator.name,
    token_id: operator.token_id,
    session_id: body.session_id ?? null,
    idempotency_key: body.idempotency_key ?? null,
    ttl_s: ttl,
    expires_at: new Date(Date.now() + ttl * 1000),
  };
  const earlier = await earlierRequest(db, request);
  if (earlier !== undefined) return earlier;
  const verdict = await permit(deps, operator, request, ecus);
  await deps.audit.append({ ...asked(request), action: "diagnostics.request" });
  const isNew =
    verdict.kind === "approval"
      ? await awaitApproval(deps, request, verdict)
      : await deps.delivery.submit(request, { received });
  const first = isNew ? undefined : await earlierRequest(db, request);
  return first ?? request.request_id;
}

/** May this be asked? A refusal is on record before it is told. */
async function permit(
  { db, audit }: DiagnosticDeps,
  operator: Operator,
  request: NewRequest,
  ecus: Ecus,
): Promise<Authorization> {
  try {
    const ids = ecus.map((ecu) => ecu.ecu_id);
    await demandFree(db, operator, request, ids);
    const { vin, request_data } = request;
    return await authorize(db, { operator, vin, ecus, requests: [request_data] });
  } catch (error) {
    if (error instanceof ProblemError) {
      const { code, message } = error;
      const rule_id = error instanceof DiagnosticDenied ? error.rule_id : undefined;
      await audit.append({
        ...asked(request),
        action: "diagnostics.denied",
        detail: { code, message, rule_id },
      });
    }
    throw error;
  }
}

/** @throws ProblemError IDEMPOTENCY_KEY_REUSED */
async function earlierRequest(db: Db, request: NewRequest): Promise<string | undefined> {
  if (request.idempotency_key === null) return undefined;
  const earlier = await requestByKey(db, request.requested_by, request.idempotency_key);
  if (earlier === undefined) return undefined;
  const isSame =
    earlier.vin === request.vin &&
    earlier.ecu_id === request.ecu_id &&
    earlier.zone_id === request.zone_id &&
    earlier.request_data.equals(request.request_data);
  if (!isSame) throw new ProblemError("IDEMPOTENCY_KEY_REUSED", earlier.request_id);
  return earlier.request_id;
}

/** @returns false when there is a request with its idempotency key already */
async function awaitApproval(
  { db, feed, config }: DiagnosticDeps,
  request: NewRequest,
  { reason, level }: Extract<Authorization, { kind: "approval" }>,
): Promise<boolean> {
  const { request_id, vin, requested_by, request_data } = request;
  const expires_at = new Date(Date.now() + config.approval_ttl_s * 1000);
  const isNew = await db.transaction().execute(async (tx) => {
    if (!(await insertRequest(tx, { ...request, expires_at }, "awaiting_approval"))) return false;
    await requestApproval(tx, {
      subject_kind: "request",
      subject: request_id,
      vin,
      requested_by,
      reason,
      level,
      summary: `${request.ecu_id ?? request.zone_id}: ${toHex(request_data)}`,
      expires_at,
    });
    return true;
  });
  if (isNew) feed.publish({ ...request, status: "awaiting_approval" });
  return isNew;
}
