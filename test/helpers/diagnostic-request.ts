import { randomUUIDv7 } from "node:crypto";
import type { NewRequest } from "#server/diagnostics/queries.ts";

/** A request that reads, of nobody in particular, which may wait for an hour. */
export function newRequest(change: Pick<NewRequest, "vin"> & Partial<NewRequest>): NewRequest {
  return {
    request_id: randomUUIDv7(),
    ecu_id: "ECU_001",
    zone_id: null,
    request_data: Buffer.of(0x3e, 0),
    timeout_ms: 1000,
    max_attempts: 3,
    requested_by: "t",
    token_id: randomUUIDv7(),
    session_id: null,
    idempotency_key: null,
    ttl_s: 3600,
    expires_at: new Date(Date.now() + 3_600_000),
    ...change,
  };
}
