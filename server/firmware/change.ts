import type { Firmware, FirmwareDetail, FirmwarePatch } from "#protocol/api/firmware.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { emit } from "#server/events/outbox.ts";
import { checkChain, checkRequires } from "./firmware.ts";
import * as queries from "./queries.ts";
import { sbomSummary } from "./sbom-queries.ts";
import { lossesOf, warningsOf } from "./warnings.ts";

/**
 * Changes what is said of an active firmware.
 * @throws ProblemError FIRMWARE_UNKNOWN, FIRMWARE_ARCHIVED, FIRMWARE_CHAIN_INVALID,
 *   FIRMWARE_REQUIRES_INVALID
 */
export async function changeFirmware(
  db: Db,
  firmwareId: string,
  patch: FirmwarePatch,
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const before = await lockActive(tx, firmwareId);
    checkChain(before.version, patch.min_current_version);
    checkRequires(before.ecu_type, patch.requires, "body");
    const after = await queries.patchFirmware(tx, firmwareId, patch);
    if (before.channel === "beta" && after.channel === "stable") await tell(tx, "promoted", after);
  });
}

/**
 * Brings a firmware from beta to stable.
 * @throws ProblemError FIRMWARE_UNKNOWN, FIRMWARE_ARCHIVED, FIRMWARE_STABLE
 */
export async function promoteFirmware(db: Db, firmwareId: string): Promise<void> {
  await db.transaction().execute(async (tx) => {
    const { channel } = await lockActive(tx, firmwareId);
    if (channel === "stable") throw new ProblemError("FIRMWARE_STABLE", firmwareId);
    await tell(tx, "promoted", await queries.patchFirmware(tx, firmwareId, { channel: "stable" }));
  });
}

/**
 * Withdraws a firmware for good: nobody is offered or may download it any more.
 * @returns it with what the catalogue lost with it
 * @throws ProblemError FIRMWARE_UNKNOWN
 */
export async function withdrawFirmware(db: Db, firmwareId: string): Promise<FirmwareDetail> {
  return db.transaction().execute(async (tx) => {
    const before = await queries.lockFirmware(tx, firmwareId);
    if (before === undefined) throw new ProblemError("FIRMWARE_UNKNOWN", firmwareId);
    const sbom = (await sbomSummary(tx, firmwareId)) ?? null;
    if (before.status === "archived") return { ...before, sbom, warnings: [] };
    const firmware = await queries.archiveFirmware(tx, firmwareId);
    await tell(tx, "archived", firmware);
    const left = await queries.listedUpon(tx, firmware.ecu_type);
    return { ...firmware, sbom, warnings: lossesOf(firmware, left) };
  });
}

/** With what its operator should know. @throws ProblemError FIRMWARE_UNKNOWN */
export async function firmwareDetail(db: Db, firmwareId: string): Promise<FirmwareDetail> {
  const firmware = await queries.firmwareById(db, firmwareId);
  if (firmware === undefined) throw new ProblemError("FIRMWARE_UNKNOWN", firmwareId);
  const sbom = (await sbomSummary(db, firmwareId)) ?? null;
  if (firmware.status === "archived") return { ...firmware, sbom, warnings: [] };
  const catalogue = await queries.listedAround(db, firmware.ecu_type);
  return { ...firmware, sbom, warnings: warningsOf(firmware, catalogue) };
}

async function lockActive(tx: Tx, firmwareId: string): Promise<Firmware> {
  const firmware = await queries.lockFirmware(tx, firmwareId);
  if (firmware === undefined) throw new ProblemError("FIRMWARE_UNKNOWN", firmwareId);
  if (firmware.status === "archived") throw new ProblemError("FIRMWARE_ARCHIVED", firmwareId);
  return firmware;
}

async function tell(tx: Tx, what: "promoted" | "archived", firmware: Firmware): Promise<void> {
  const { firmware_id: subject, ecu_type, version, channel, availability } = firmware;
  const data = { ecu_type, version, channel, availability };
  await emit(tx, { kind: `firmware.${what}`, subject, data });
}
