import type { CodecDefinition, DidDefinition } from "./definition.ts";
import { compileCodec, type DidCodec } from "./did-codec.ts";

/** Data identifiers: F180–F19F by ISO 14229-1, annex C; 01xx are our ECUs' own. */
export const Did = {
  supplyVoltage: 0x0100,
  temperature: 0x0101,
  processorLoad: 0x0102,
  operatingTime: 0x0103,
  trustedRootVersion: 0x0110,
  bootSoftwareIdentification: 0xf180,
  applicationSoftwareIdentification: 0xf181,
  activeDiagnosticSession: 0xf186,
  systemSupplierIdentifier: 0xf18a,
  ecuManufacturingDate: 0xf18b,
  ecuSerialNumber: 0xf18c,
  vin: 0xf190,
  ecuHardwareNumber: 0xf191,
  systemSupplierEcuSoftwareVersionNumber: 0xf195,
  systemName: 0xf197,
  testerSerialNumber: 0xf198,
  programmingDate: 0xf199,
} as const;

export interface DidEntry {
  did: number;
  name: string;
  codec: DidCodec;
  definition: DidDefinition;
}

/** @throws RangeError for a codec that contradicts itself */
export function didEntry(definition: DidDefinition): DidEntry {
  const { did, name, codec = { kind: "hex" } } = definition;
  return { did, name, codec: compileCodec(codec), definition };
}

const sessions = { 1: "default", 2: "programming", 3: "extended", 4: "safety system" };
const ascii: CodecDefinition = { kind: "ascii" };
const date: CodecDefinition = { kind: "date" };

const rows: readonly (readonly [did: number, name: string, codec: CodecDefinition])[] = [
  [Did.supplyVoltage, "supplyVoltage", { kind: "uint", length: 2, unit: "mV" }],
  [Did.temperature, "temperature", { kind: "int", length: 2, scale: 0.1, unit: "°C" }],
  [Did.processorLoad, "processorLoad", { kind: "uint", length: 1, unit: "%" }],
  [Did.operatingTime, "operatingTime", { kind: "uint", length: 4, unit: "s" }],
  [Did.trustedRootVersion, "trustedRootVersion", { kind: "uint", length: 4 }],
  [Did.bootSoftwareIdentification, "bootSoftwareIdentification", ascii],
  [Did.applicationSoftwareIdentification, "applicationSoftwareIdentification", ascii],
  [0xf182, "applicationDataIdentification", ascii],
  [0xf183, "bootSoftwareFingerprint", ascii],
  [0xf184, "applicationSoftwareFingerprint", ascii],
  [0xf185, "applicationDataFingerprint", ascii],
  [Did.activeDiagnosticSession, "activeDiagnosticSession", { kind: "enum", values: sessions }],
  [0xf187, "vehicleManufacturerSparePartNumber", ascii],
  [0xf188, "vehicleManufacturerECUSoftwareNumber", ascii],
  [0xf189, "vehicleManufacturerECUSoftwareVersionNumber", ascii],
  [Did.systemSupplierIdentifier, "systemSupplierIdentifier", ascii],
  [Did.ecuManufacturingDate, "ECUManufacturingDate", date],
  [Did.ecuSerialNumber, "ECUSerialNumber", ascii],
  [Did.vin, "VIN", { kind: "ascii", length: 17 }],
  [Did.ecuHardwareNumber, "vehicleManufacturerECUHardwareNumber", ascii],
  [0xf192, "systemSupplierECUHardwareNumber", ascii],
  [0xf193, "systemSupplierECUHardwareVersionNumber", ascii],
  [0xf194, "systemSupplierECUSoftwareNumber", ascii],
  [Did.systemSupplierEcuSoftwareVersionNumber, "systemSupplierECUSoftwareVersionNumber", ascii],
  [Did.systemName, "systemNameOrEngineType", ascii],
  [Did.testerSerialNumber, "repairShopCodeOrTesterSerialNumber", ascii],
  [Did.programmingDate, "programmingDate", date],
  [0xf19d, "ECUInstallationDate", date],
  [0xf19e, "ODXFile", ascii],
];

/** The identifiers that are the same in every ECU. */
export const didTable: readonly DidEntry[] = rows.map(([did, name, codec]) =>
  didEntry({ did, name, codec }),
);

const byId = new Map<number, DidEntry>(didTable.map((entry) => [entry.did, entry]));

export function findDid(did: number): DidEntry | undefined {
  return byId.get(did);
}
