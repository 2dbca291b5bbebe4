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
  await emitAll(tx, [event]);
}

/** Far below the 65,535 parameters that a statement may have. */
const AT_ONCE = 1000;

/** As {@link emit}, of many. */
export async function emitAll(tx: Tx, events: readonly NewEvent[]): Promise<void> {
  for (let at = 0; at < events.length; at += AT_ONCE) {
    const rows = events
      .slice(at, at + AT_ONCE)
      .map(({ kind, vin = null, subject = null, data = {} }) => ({
        kind,
        vin,
        subject,
        data: JSON.stringify(data),
      }));
    await tx.insertInto("event").values(rows).execute();
  }
}
