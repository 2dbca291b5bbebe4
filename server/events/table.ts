import type { ColumnType, Generated, JSONColumnType } from "kysely";
import type { DeliveryStatus } from "#protocol/api/webhook.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    event: EventTable;
    webhook: WebhookTable;
    webhook_delivery: WebhookDeliveryTable;
  }
}

export interface EventTable {
  event_id: Generated<number>;
  txid: Generated<string>;
  at: Generated<Date>;
  kind: string;
  vin: string | null;
  subject: string | null;
  data: JSONColumnType<Record<string, unknown>>;
}

export interface WebhookTable {
  webhook_id: string;
  url: string;
  description: string | null;
  /** Kinds, or `campaign.*`; none: all. */
  kinds: string[];
  vin: string | null;
  /** In the clear, for signing needs it; no answer has it after the first. */
  secret: Buffer;
  previous_secret: Buffer | null;
  previous_until: Date | null;
  active: boolean;
  disabled_reason: string | null;
  /** The first transaction whose events it is told of. */
  since_txid: Generated<string>;
  /** In a row, of whatever delivery. */
  failures: Generated<number>;
  /** Nothing is tried before. */
  rests_until: ColumnType<Date | null, undefined, Date | null>;
  /** Since when deliveries are given up, with none in between that arrived. */
  dead_since: ColumnType<Date | null, undefined, Date | null>;
  created_by: string;
  created_at: Generated<Date>;
}

export interface WebhookDeliveryTable {
  delivery_id: Generated<number>;
  webhook_id: string;
  event_id: number;
  status: DeliveryStatus;
  attempts: Generated<number>;
  /** When it is tried; of one that is being tried, when that must have ended. */
  due_at: Date;
  /** The status of the last answer. */
  answered: ColumnType<number | null, undefined, number | null>;
  error: ColumnType<string | null, undefined, string | null>;
  created_at: Date;
  tried_at: ColumnType<Date | null, undefined, Date | null>;
}
