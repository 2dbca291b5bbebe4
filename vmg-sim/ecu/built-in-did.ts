import { Did, findDid } from "#protocol/uds/did.ts";
import type { DidValue } from "#protocol/uds/did-codec.ts";
import { wave, type EcuRuntime } from "./runtime.ts";

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

/** Whom and when the ECU was programmed by: what every tester with a key may write. */
const writable: readonly number[] = [Did.testerSerialNumber, Did.programmingDate];

/** The DIDs that every ECU has, whatever its definition says. */
export function isBuiltIn(did: number): boolean {
  return values.has(did) || writable.includes(did);
}

export function isWritableBuiltIn(did: number): boolean {
  return writable.includes(did);
}

/** The record of a built-in DID; undefined for one that it does not have, or not yet. */
export function builtInRecord(ecu: EcuRuntime, did: number): Uint8Array | undefined {
  const value = values.get(did)?.(ecu);
  return value === undefined ? undefined : findDid(did)?.codec.encode(value);
}
