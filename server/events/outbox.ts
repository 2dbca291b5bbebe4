import type { Tx } from "#server/database/connection.ts";
import "./table.ts";

/** Something that others may want to hear of. */
export interface NewEvent {
  /** `update.finished`, `campaign.stopped`, … */
  kind: string;
  vin?: string | undefined;
  /** Id of the update, campaign, firmware, … */
  subject?: string | undefined;
  data?: Record<string, unknown> | undefined;
}

/** Tells of a change in the transaction that makes it, so that neither is there without the other. */
export async function emit(tx: Tx, event: NewEvent): Promise<void> {
  const { kind, vin = null, subject = null, data = {} } = event;
  await tx
    .insertInto("event")
    .values({ kind, vin, subject, data: JSON.stringify(data) })
    .execute();
}
