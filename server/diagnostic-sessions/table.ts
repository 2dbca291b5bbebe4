import type { ColumnType, Generated, RawBuilder } from "kysely";
import type { SessionEndReason, SessionStatus } from "#protocol/api/diagnostic-session.ts";
import type { Interlock } from "#protocol/mqtt/interlock.ts";
import type { Role } from "#server/http/access.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    diagnostic_session: DiagnosticSessionTable;
    diagnostic_revocation: DiagnosticRevocationTable;
  }
}

/** Set when a session ends. */
type Later<Value> = ColumnType<Value | null, undefined, Value | null | undefined>;

export interface DiagnosticSessionTable {
  session_id: string;
  vin: string;
  ecu_id: string;
  uds_session: number;
  status: SessionStatus;
  operator: string;
  role: Role;
  token_id: string;
  reason: string | null;
  max_s: number;
  /** The session that it ends when it is approved. */
  takes_over: string | null;
  response: Later<Buffer>;
  end_reason: Later<SessionEndReason>;
  ended_by: Later<string>;
  interlock: Later<Interlock>;
  error: ColumnType<{ code: string; message: string } | null, undefined, string | null | undefined>;
  created_at: Generated<Date>;
  changed_at: Generated<Date>;
  /** When the vehicle was first asked to open it. */
  asked_at: ColumnType<Date | null, Date | RawBuilder<Date> | null, RawBuilder<Date>>;
  opened_at: Later<Date>;
  expires_at: Date;
  ended_at: Later<Date>;
}

export interface DiagnosticRevocationTable {
  revocation_id: string;
  vin: string | null;
  operator: string | null;
  token_id: string | null;
  /** `revoked` at once, or because the operator's token was (`operator_revoked`). */
  cause: "revoked" | "operator_revoked";
  reason: string;
  revoked_by: string;
  changed_at: Generated<Date>;
}
