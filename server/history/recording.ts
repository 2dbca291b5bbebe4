import type { Tx } from "#server/database/connection.ts";
import type { UpdateListener, UpdateMoved } from "#server/updates/moved.ts";
import { isFinal } from "#server/updates/update.ts";
import { insertHistory, insertUpdateFirmware, noteReverted } from "./queries.ts";
import { recordIssue, recordResult, recordReverted } from "./register.ts";

/** Keeps the history of updates and the register, in the transactions that move the updates. */
export function createHistory(now: () => Date = () => new Date()): UpdateListener {
  async function moved(tx: Tx, update: UpdateMoved): Promise<void> {
    if (update.from === null) {
      await insertUpdateFirmware(tx, update.update_id, update.targets);
      await recordIssue(tx, update, now());
    }
    if (!isFinal(update.to)) return;
    await insertHistory(tx, update.update_id);
    await recordResult(tx, update, now());
  }
  return {
    moved,
    async reported(tx, vin, ecus) {
      await recordReverted(tx, vin, await noteReverted(tx, vin, ecus), now());
    },
  };
}
