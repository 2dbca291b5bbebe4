import type { Generated } from "kysely";

declare module "#server/database/tables.ts" {
  interface Tables {
    telemetry: TelemetryTable;
    anomaly: AnomalyTable;
  }
}

export interface TelemetryTable {
  sample_id: Generated<number>;
  vin: string;
  ts: Date;
  received_at: Generated<Date>;
  signals: Record<string, number | boolean | string>;
}

export interface AnomalyTable {
  anomaly_id: Generated<number>;
  vin: string;
  ts: Date;
  signal: string;
  value: number;
  rule: "limit" | "deviation";
  detail: string;
  detected_at: Generated<Date>;
}
