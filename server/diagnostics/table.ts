import type { ColumnType, Generated } from "kysely";
import type { DiagnosticStatus } from "#protocol/api/diagnostics.ts";

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
  created_at: Generated<Date>;
  completed_at: ColumnType<Date | null, undefined, Date>;
}
