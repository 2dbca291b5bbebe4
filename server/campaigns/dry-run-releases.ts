import type { DryRun } from "#protocol/api/dry-run.ts";
import type { Db } from "#server/database/connection.ts";
import { firmwareByIds } from "#server/firmware/queries.ts";
import type { CampaignFirmware } from "./content.ts";

/** The firmware that a campaign names, and what is wrong with each. */
export async function releasesOf(
  db: Db,
  firmwareIds: readonly string[],
): Promise<DryRun["releases"]> {
  const known = firmwareIds.length === 0 ? [] : await firmwareByIds(db, firmwareIds);
  const byId = new Map(known.map((each) => [each.firmware_id, each]));
  return firmwareIds.map((firmware_id) => {
    const firmware = byId.get(firmware_id);
    const { ecu_type = null, version = null, channel = null } = firmware ?? {};
    return { firmware_id, ecu_type, version, channel, problem: problemOf(firmware) };
  });
}

function problemOf(firmware: CampaignFirmware | undefined) {
  if (firmware === undefined) return "unknown";
  if (firmware.status === "archived") return "archived";
  if (firmware.publication === "awaiting_signature") return "awaiting_signature";
  return firmware.availability === "channel" ? "open" : null;
}
