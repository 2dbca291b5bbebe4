import type { ColumnType, Generated, JSONColumnType } from "kysely";
import type { ScanPhase, ScanStatus } from "#protocol/api/diagnostic-scan.ts";
import type { ScriptStatus } from "#protocol/api/diagnostic-script.ts";
import type { ScannedEcu } from "#protocol/mqtt/diagnostic-event.ts";
import type { DiagnosticScript } from "#protocol/mqtt/diagnostic-script.ts";
import type { VehicleTiming } from "#protocol/mqtt/diagnostics.ts";
import type { Interlock } from "#protocol/mqtt/interlock.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    diagnostic_script: DiagnosticScriptTable;
    diagnostic_script_step: DiagnosticScriptStepTable;
    diagnostic_scan: DiagnosticScanTable;
  }
}

export interface RunError {
  code: string;
  message: string;
}
type Later<Value> = ColumnType<Value | null, undefined, Value | null>;
type LaterJson<Value> = ColumnType<Value | null, undefined, string | null>;

export interface DiagnosticScriptTable {
  script_id: string;
  vin: string;
  ecu_id: string;
  session_id: string | null;
  script: JSONColumnType<DiagnosticScript>;
  status: ScriptStatus;
  operator: string;
  token_id: string;
  reason: string | null;
  max_s: number;
  /** Who wants it to end before it does. */
  cancelled_by: Later<string>;
  /** Upper-case hex, by name. */
  answers: ColumnType<Record<string, string>, undefined, string>;
  error: LaterJson<RunError>;
  steps: Later<number>;
  created_at: Generated<Date>;
  changed_at: Generated<Date>;
  /** When the vehicle acknowledged its delivery. */
  acknowledged_at: Later<Date>;
  expires_at: Date;
  /** When the vehicle reported its end. */
  reported_at: Later<Date>;
  completed_at: Later<Date>;
}

type NullableJson<Value> = ColumnType<Value | null, string | null, never>;

export interface DiagnosticScriptStepTable {
  script_id: string;
  seq: number;
  path: string;
  request: Buffer | null;
  response: Buffer | null;
  interlock: Interlock | null;
  error: NullableJson<RunError>;
  timing: NullableJson<VehicleTiming>;
  at: Date;
}

export interface DiagnosticScanTable {
  scan_id: string;
  vin: string;
  /** Of a scan around an update, which nobody asked for. */
  update_id: string | null;
  phase: ScanPhase | null;
  status: ScanStatus;
  requested_by: string | null;
  ecus: ColumnType<ScannedEcu[], string | undefined, string>;
  error: LaterJson<RunError>;
  created_at: Generated<Date>;
  /** By the vehicle's clock. */
  taken_at: ColumnType<Date | null, Date | undefined, Date>;
  completed_at: ColumnType<Date | null, Date | undefined, Date>;
}
