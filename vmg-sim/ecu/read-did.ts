import { Did, findDid } from "#protocol/uds/did.ts";
import type { DidValue } from "#protocol/uds/did-codec.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import {
  joinBytes,
  negative,
  positive,
  u16At,
  u16Bytes,
  type EcuRuntime,
  type EcuService,
} from "./runtime.ts";

/** DIDs in one request, at most. */
const MAX_DIDS = 64;

const values = new Map<number, (ecu: EcuRuntime) => DidValue | undefined>([
  [Did.vin, ({ config }) => config.vin],
  [Did.ecuSerialNumber, ({ config }) => config.serial_number],
  [Did.ecuHardwareNumber, ({ config }) => config.hardware_version],
  [Did.systemSupplierEcuSoftwareVersionNumber, ({ flash }) => flash.version],
  [
    Did.applicationSoftwareIdentification,
    ({ config, flash }) => `${config.ecu_type} ${flash.version}`,
  ],
  [Did.systemName, ({ config }) => config.ecu_type],
  [Did.systemSupplierIdentifier, ({ config }) => config.supplier],
  [Did.bootSoftwareIdentification, ({ config }) => config.bootloader_version],
  [Did.ecuManufacturingDate, ({ config }) => config.manufacturing_date],
  [Did.activeDiagnosticSession, ({ now }) => now.session],
  [Did.supplyVoltage, (ecu) => Math.round(12_600 + 400 * wave(ecu, 41))],
  [Did.temperature, (ecu) => 45 + 12 * wave(ecu, 173)],
  [Did.processorLoad, (ecu) => Math.round(35 + 25 * wave(ecu, 13))],
  [Did.trustedRootVersion, ({ trust }) => trust?.rootVersion()],
  [Did.operatingTime, ({ clock, now }) => Math.floor((clock.now() - now.startedAt) / 1000)],
]);

/** A value between -1 and 1 that swings with the ECU's clock, each ECU in its own phase. */
function wave(ecu: EcuRuntime, periodS: number): number {
  const turns = ecu.clock.now() / 1000 / periodS + ecu.config.logical_address / 7;
  return Math.sin(2 * Math.PI * turns);
}

/** 22: one or more DIDs; those the ECU does not have are left out unless it has none of them. */
export const readDid: EcuService = {
  sid: Sid.readDataByIdentifier,
  minLength: 3,
  handle(ecu, request) {
    if (request.length % 2 === 0 || request.length > 1 + 2 * MAX_DIDS) {
      return negative(Nrc.incorrectMessageLength);
    }
    const records: Uint8Array[] = [];
    for (let at = 1; at < request.length; at += 2) {
      const did = u16At(request, at);
      const record = readRecord(ecu, did);
      if (record !== undefined) records.push(u16Bytes(did), record);
    }
    return records.length === 0 ? negative(Nrc.requestOutOfRange) : positive(joinBytes(records));
  },
};

/** The data record of a DID; undefined for one that the ECU does not have. */
export function readRecord(ecu: EcuRuntime, did: number): Uint8Array | undefined {
  const written = ecu.store.current.written[did.toString(16)];
  if (written !== undefined) return Buffer.from(written, "hex");
  const value = values.get(did)?.(ecu);
  return value === undefined ? undefined : findDid(did)?.codec.encode(value);
}
