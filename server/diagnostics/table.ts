import type { ColumnType, Generated } from "kysely";
import type { DiagnosticStatus, Hops } from "#protocol/api/diagnostics.ts";
import type { Interlock } from "#protocol/mqtt/interlock.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    diagnostic_request: DiagnosticRequestTable;
  }
}

export interface DiagnosticError {
  code: string;
  message: string;
}

/** As it is stored: the decoded form is made when somebody asks for it. */
export interface RawResponse {
  ecu_id: string;
  /** UDS response, upper-case hex. */
  response_data: string;
}

export interface DiagnosticRequestTable {
  request_id: string;
  vin: string;
  ecu_id: string | null;
  zone_id: string | null;
  request_data: Buffer;
  timeout_ms: number;
  max_attempts: number;
  status: DiagnosticStatus;
  attempts: Generated<number>;
  error: ColumnType<DiagnosticError | null, undefined, string | null>;
  responses: ColumnType<RawResponse[], undefined, string>;
  requested_by: string;
  /** Of the operator's token; null for what was asked before tokens were noted. */
  token_id: string | null;
  session_id: string | null;
  idempotency_key: string | null;
  approved_by: ColumnType<string | null, undefined, string>;
  /** How long it may wait for the vehicle, from when it may be sent. */
  ttl_s: number;
  /** Until then it waits for the vehicle, or for its approval. */
  expires_at: Date;
  sent_at: ColumnType<Date | null, Date | null>;
  interlock: ColumnType<Interlock | null, undefined, Interlock | null>;
  hops: ColumnType<Hops | null, undefined, string | null>;
  revision: Generated<string>;
  created_at: Generated<Date>;
  completed_at: ColumnType<Date | null, undefined, Date>;
}
