import { bcdDate, choice, integer, text, type DidCodec } from "./did-codec.ts";

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
}

const sessions = { 1: "default", 2: "programming", 3: "extended", 4: "safety system" };

const entries: readonly (readonly [did: number, name: string, codec: DidCodec])[] = [
  [Did.supplyVoltage, "supplyVoltage", integer(2, { unit: "mV" })],
  [Did.temperature, "temperature", integer(2, { signed: true, scale: 0.1, unit: "°C" })],
  [Did.processorLoad, "processorLoad", integer(1, { unit: "%" })],
  [Did.operatingTime, "operatingTime", integer(4, { unit: "s" })],
  [Did.trustedRootVersion, "trustedRootVersion", integer(4)],
  [Did.bootSoftwareIdentification, "bootSoftwareIdentification", text()],
  [Did.applicationSoftwareIdentification, "applicationSoftwareIdentification", text()],
  [0xf182, "applicationDataIdentification", text()],
  [0xf183, "bootSoftwareFingerprint", text()],
  [0xf184, "applicationSoftwareFingerprint", text()],
  [0xf185, "applicationDataFingerprint", text()],
  [Did.activeDiagnosticSession, "activeDiagnosticSession", choice(sessions)],
  [0xf187, "vehicleManufacturerSparePartNumber", text()],
  [0xf188, "vehicleManufacturerECUSoftwareNumber", text()],
  [0xf189, "vehicleManufacturerECUSoftwareVersionNumber", text()],
  [Did.systemSupplierIdentifier, "systemSupplierIdentifier", text()],
  [Did.ecuManufacturingDate, "ECUManufacturingDate", bcdDate],
  [Did.ecuSerialNumber, "ECUSerialNumber", text()],
  [Did.vin, "VIN", text(17)],
  [Did.ecuHardwareNumber, "vehicleManufacturerECUHardwareNumber", text()],
  [0xf192, "systemSupplierECUHardwareNumber", text()],
  [0xf193, "systemSupplierECUHardwareVersionNumber", text()],
  [0xf194, "systemSupplierECUSoftwareNumber", text()],
  [Did.systemSupplierEcuSoftwareVersionNumber, "systemSupplierECUSoftwareVersionNumber", text()],
  [Did.systemName, "systemNameOrEngineType", text()],
  [Did.testerSerialNumber, "repairShopCodeOrTesterSerialNumber", text()],
  [Did.programmingDate, "programmingDate", bcdDate],
  [0xf19d, "ECUInstallationDate", bcdDate],
  [0xf19e, "ODXFile", text()],
];

const byId = new Map<number, DidEntry>(
  entries.map(([did, name, codec]) => [did, { did, name, codec }]),
);

/** The identifiers with a name and a codec. */
export const didTable: readonly DidEntry[] = [...byId.values()];

export function findDid(did: number): DidEntry | undefined {
  return byId.get(did);
}
