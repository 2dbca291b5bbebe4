import { Compile } from "typebox/compile";
import type { Logger } from "pino";
import { VciEcu, type Vci } from "#protocol/api/vci.ts";
import { Did } from "#protocol/uds/did.ts";
import { NegativeResponseError } from "#protocol/uds/response.ts";
import { backoffMs, type Pace } from "./pace.ts";
import { readDid } from "./read-did.ts";
import type { NetworkEcu, VehicleNetwork } from "./vehicle-network.ts";

export interface InventoryDeps {
  vin: string;
  network: VehicleNetwork;
  pace: Pace;
  log: Logger;
}

/** What the ECUs said of themselves, and which of them said nothing that a VCI can carry. */
export interface Inventory {
  vci: Vci;
  silent: string[];
}

/** No ECU answered: there is nothing to tell the gateway. */
export class InventoryError extends Error {
  readonly code = "VCI_EMPTY";

  constructor() {
    super("no ECU of the vehicle answered");
    this.name = "InventoryError";
  }
}

const TRIES = 3;
const BACKOFF = { backoff_ms: 200, max_backoff_ms: 2000 };

const vciEcu = Compile(VciEcu);

/**
 * Asks every ECU for its identification by UDS (22 with F190, F191, F195, F197, F18A, F18C, F180),
 * all of them at once. An ECU that does not answer is asked again; one that stays silent is left
 * out and named in `silent`.
 * @throws InventoryError, the signal's reason
 */
export async function collectInventory(
  deps: InventoryDeps,
  reason: string,
  signal?: AbortSignal,
): Promise<Inventory> {
  const { network, vin, pace, log } = deps;
  const answers = await Promise.all(
    network.ecus.map((ecu) => identifyPatiently(deps, ecu, signal)),
  );
  const ecus = answers.filter((ecu) => ecu !== undefined);
  const silent = network.ecus
    .map(({ ecu_id }) => ecu_id)
    .filter((id) => !ecus.some(({ ecu_id }) => ecu_id === id));
  if (silent.length > 0) log.warn({ ecus: silent }, "ECUs left out of the VCI");
  if (ecus.length === 0) throw new InventoryError();
  const zones = network.zones.map(({ zone_id, logical_address }) => ({ zone_id, logical_address }));
  return {
    vci: { vin, collected_at: pace.now().toISOString(), reason, zones, ecus },
    silent,
  };
}

/** The software version that an ECU runs now (F195). */
export async function softwareVersion(ecu: NetworkEcu, signal?: AbortSignal): Promise<string> {
  return String(await readDid(ecu, Did.systemSupplierEcuSoftwareVersionNumber, signal));
}

/** The versions that these ECUs run now; an ECU that does not answer is left out. */
export async function softwareVersions(
  ecus: readonly NetworkEcu[],
  signal?: AbortSignal,
): Promise<Map<string, string>> {
  const versions = await Promise.allSettled(ecus.map((ecu) => softwareVersion(ecu, signal)));
  signal?.throwIfAborted();
  return new Map(
    ecus.flatMap(({ ecu_id }, index) => {
      const version = versions[index];
      return version?.status === "fulfilled" ? [[ecu_id, version.value] as const] : [];
    }),
  );
}

async function identifyPatiently(
  { vin, pace, log }: InventoryDeps,
  ecu: NetworkEcu,
  signal: AbortSignal | undefined,
): Promise<VciEcu | undefined> {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    try {
      if (attempt > 0) await pace.wait(backoffMs(attempt - 1, BACKOFF, pace.random), signal);
      const identity = await identify(ecu, vin, log, signal);
      if (vciEcu.Check(identity)) return identity;
      const [error] = vciEcu.Errors(identity);
      log.error({ ecu_id: ecu.ecu_id, identity, error }, "an ECU's identification is not usable");
      return undefined;
    } catch (error) {
      signal?.throwIfAborted();
      log.warn({ ecu_id: ecu.ecu_id, attempt, err: error }, "an ECU could not be identified");
    }
  }
  return undefined;
}

async function identify(
  ecu: NetworkEcu,
  vin: string,
  log: Logger,
  signal: AbortSignal | undefined,
): Promise<VciEcu> {
  const read = async (did: number) => String(await readDid(ecu, did, signal));
  const inEcu = await optional(read(Did.vin));
  if (inEcu !== undefined && inEcu !== vin) {
    log.warn({ ecu_id: ecu.ecu_id, vin: inEcu }, "an ECU has the VIN of another vehicle");
  }
  const { ecu_id, zone_id, logical_address } = ecu;
  const bootloader = await optional(read(Did.bootSoftwareIdentification));
  const serial = await optional(read(Did.ecuSerialNumber));
  const supplier = await optional(read(Did.systemSupplierIdentifier));
  return {
    ecu_id,
    zone_id,
    ecu_type: await read(Did.systemName),
    hardware_version: await read(Did.ecuHardwareNumber),
    software_version: await softwareVersion(ecu, signal),
    ...(serial !== undefined && { serial_number: serial }),
    ...(bootloader !== undefined && { bootloader_version: bootloader }),
    ...(supplier !== undefined && { supplier }),
    logical_address,
  };
}

/** Not every ECU knows every identifier; one that is silent is another matter. */
async function optional<Value>(value: Promise<Value>): Promise<Value | undefined> {
  try {
    return await value;
  } catch (error) {
    if (error instanceof NegativeResponseError) return undefined;
    throw error;
  }
}
