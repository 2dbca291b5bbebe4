import { randomUUIDv7 } from "node:crypto";
import type { ServerConfig } from "#config/server.ts";
import type { DiagnosticBroadcast, DiagnosticSend } from "#protocol/api/diagnostics.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Catalogues } from "#protocol/uds/catalogue.ts";
import { isReadOnly } from "#protocol/uds/service.ts";
import type { Db } from "#server/database/connection.ts";
import { currentVci, vehicleByVin, type StoredVci } from "#server/vehicles/queries.ts";
import type { Dispatcher } from "./dispatch.ts";
import { requestBytes } from "./request.ts";

export interface DiagnosticDeps {
  db: Db;
  dispatcher: Dispatcher;
  catalogues: Catalogues;
  config: ServerConfig["diagnostics"];
}

/**
 * Sends a UDS request to one ECU.
 * @returns the request's id
 * @throws ProblemError DIAGNOSTIC_INVALID, VEHICLE_UNKNOWN, VCI_MISSING, ECU_UNKNOWN
 */
export async function sendDiagnostic(
  deps: DiagnosticDeps,
  operator: string,
  { vin, ecu_id, service_id, data, timeout_ms }: DiagnosticSend,
): Promise<string> {
  const request_data = requestBytes(service_id, data);
  const { ecus } = await vciOf(deps.db, vin);
  if (!ecus.some((ecu) => ecu.ecu_id === ecu_id)) throw new ProblemError("ECU_UNKNOWN", ecu_id);
  return dispatch(deps, operator, { vin, ecu_id, zone_id: null, request_data, timeout_ms });
}

/**
 * Sends a UDS request to every ECU behind a zonal gateway.
 * @returns the request's id
 * @throws ProblemError DIAGNOSTIC_INVALID, VEHICLE_UNKNOWN, VCI_MISSING, ZONE_UNKNOWN
 */
export async function broadcastDiagnostic(
  deps: DiagnosticDeps,
  operator: string,
  { vin, zone_id, service_id, data, timeout_ms }: DiagnosticBroadcast,
): Promise<string> {
  const request_data = requestBytes(service_id, data);
  const { zones } = await vciOf(deps.db, vin);
  if (!zones.some((zone) => zone.zone_id === zone_id))
    throw new ProblemError("ZONE_UNKNOWN", zone_id);
  return dispatch(deps, operator, { vin, ecu_id: null, zone_id, request_data, timeout_ms });
}

async function dispatch(
  { dispatcher, config }: DiagnosticDeps,
  requested_by: string,
  request: {
    vin: string;
    ecu_id: string | null;
    zone_id: string | null;
    request_data: Buffer;
    timeout_ms: number | undefined;
  },
): Promise<string> {
  const request_id = randomUUIDv7();
  await dispatcher.send({
    ...request,
    request_id,
    timeout_ms: request.timeout_ms ?? config.timeout_ms,
    max_attempts: isReadOnly(request.request_data) ? config.tries : 1,
    requested_by,
  });
  return request_id;
}

async function vciOf(db: Db, vin: string): Promise<StoredVci> {
  const vci = await currentVci(db, vin);
  if (vci) return vci;
  if (!(await vehicleByVin(db, vin))) throw new ProblemError("VEHICLE_UNKNOWN", vin);
  throw new ProblemError("VCI_MISSING", vin);
}
