import type { EcuDefinition } from "#config/ecu-definition.ts";
import { demoSecrets } from "#protocol/uds/security-key.ts";
import { compileDid, type DefinedDid } from "./defined-did.ts";

/** A trouble code an ECU has stored: `P0562-16` and its status byte. */
export interface ConfiguredDtc {
  code: string;
  status: number;
}

/** What an ECU is, from the vehicle's configuration. */
export interface EcuConfig {
  ecu_id: string;
  logical_address: number;
  ecu_type: string;
  hardware_version: string;
  /** Version it was built with; after a flash the version of the running bank counts. */
  software_version: string;
  serial_number: string;
  vin: string;
  supplier?: string;
  bootloader_version?: string;
  /** `YYYY-MM-DD` */
  manufacturing_date?: string;
  dtcs?: readonly ConfiguredDtc[];
  /** Longest TransferData message, SID and counter included: 3 to 0xFFFF. */
  max_block_length?: number;
  /** Size of each of the two banks in bytes. */
  bank_bytes?: number;
  /** Secrets in hex, by odd security level. */
  security?: { secrets: Readonly<Record<number, string>> };
  /** What its type can do beyond what every ECU can. */
  definition?: EcuDefinition | undefined;
}

export interface CompleteEcuConfig extends Required<EcuConfig> {
  definition: EcuDefinition;
  /** The DIDs of the definition, by id. */
  dids: ReadonlyMap<number, DefinedDid>;
}

const FOUR_GIB = 2 ** 32;

/** Of an ECU type without a definition. */
const noDefinition: Omit<EcuDefinition, "ecu_type" | "security_levels"> = {
  max_response: 0xffff,
  dids: [],
  dtcs: [],
  rids: [],
  controls: [],
  memory: [],
  periodic: { max: 8, slow_ms: 1_000, medium_ms: 200, fast_ms: 50, response: "without_sid" },
};

/** Fills in what the configuration leaves out. @throws RangeError for values no ECU can have. */
export function completeEcuConfig(config: EcuConfig): CompleteEcuConfig {
  const { secrets } = config.security ?? { secrets: demoSecrets };
  const definition = config.definition ?? {
    ...noDefinition,
    ecu_type: config.ecu_type,
    security_levels: Object.keys(secrets).map((level) => ({
      level: Number(level),
      name: `level ${level}`,
      max_attempts: 3,
      delay_ms: 10_000,
    })),
  };
  const complete: CompleteEcuConfig = {
    supplier: "Latticeway",
    bootloader_version: "1.0.0",
    manufacturing_date: "2026-01-15",
    dtcs: config.definition?.dtcs ?? [
      { code: "P0562-16", status: 0x2c },
      { code: "U0121-00", status: 0x28 },
    ],
    max_block_length: 0xffff,
    bank_bytes: FOUR_GIB,
    ...config,
    security: { secrets },
    definition: {
      ...definition,
      // A level that no key opens is not there.
      security_levels: definition.security_levels.filter(({ level }) => level in secrets),
    },
    dids: new Map(definition.dids.map((did) => [did.did, compileDid(did)])),
  };
  if (complete.max_block_length < 3 || complete.max_block_length > 0xffff) {
    throw new RangeError(`${config.ecu_id}: max_block_length is 3 to 65535`);
  }
  if (config.vin.length > 17) {
    throw new RangeError(`${config.ecu_id}: a VIN has at most 17 characters, got ${config.vin}`);
  }
  return complete;
}
