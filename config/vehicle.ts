import { join } from "node:path";
import { Type, type Static, type TProperties } from "typebox";
import { EcuId, EcuType, HardwareVersion, Version, ZoneId } from "#protocol/api/identifier.ts";
import type { EcuDefinition } from "./ecu-definition.ts";
import { loadEcuDefinitions } from "./ecu-definitions.ts";
import { Interlock, interlocks } from "#protocol/mqtt/interlock.ts";
import { ConfigError, loadConfig } from "./load.ts";
import { LogConfig } from "./log.ts";

const group = <Properties extends TProperties>(properties: Properties) =>
  Type.Object(properties, { additionalProperties: false });

const Folder = Type.String({ minLength: 1, description: "a folder" });
const Seconds = Type.Number({
  minimum: 0.1,
  maximum: 31_536_000,
  description: "seconds, from 0.1",
});
const Milliseconds = Type.Integer({ minimum: 1, maximum: 3_600_000, description: "milliseconds" });
const Retries = Type.Integer({ minimum: 0, maximum: 100, description: "0 to 100" });
const Label = Type.String({ maxLength: 64, description: "at most 64 characters" });
const url = (protocol: string) =>
  Type.String({ pattern: `^${protocol}://[^/?#]+/?$`, description: `${protocol}://host:port` });
const LogicalAddress = Type.Integer({
  minimum: 1,
  maximum: 0xffff,
  description: "a DoIP logical address, 0x0001 to 0xFFFF",
});

const AddressRange = Type.Union(
  [LogicalAddress, Type.String({ pattern: "^0x[0-9A-Fa-f]{1,4}-0x[0-9A-Fa-f]{1,4}$" })],
  { description: 'a DoIP logical address, or a range: "0x0E80-0x0EFF"' },
);

const Interlocks = Type.Array(Interlock, {
  uniqueItems: true,
  maxItems: interlocks.length,
  description: `a list of ${interlocks.join(", ")}`,
});
const Volts = Type.Number({ minimum: 0, maximum: 60, description: "volts, 0 to 60" });

const EcuConfig = group({
  ecu_id: EcuId,
  logical_address: LogicalAddress,
  ecu_type: EcuType,
  hardware_version: HardwareVersion,
  software_version: Version,
  bootloader_version: Label,
  supplier: Label,
});

/** None, or a role of a tester. */
const demands = ["none", "read", "write", "control", "programming"] as const;

const ZoneConfig = group({
  zone_id: ZoneId,
  logical_address: LogicalAddress,
  functional_address: LogicalAddress,
  ecus: Type.Array(EcuConfig, { minItems: 1, maxItems: 64, description: "a list of ECUs" }),
});
export type ZoneConfig = Static<typeof ZoneConfig>;

/** Everything `config/vehicle.yaml` can say. The YAML file explains each key. */
export const VehicleConfig = group({
  vehicle: group({
    id: Type.String({
      pattern: "^[A-Za-z0-9._-]{3,17}$",
      description: "3 to 17 of A-Z a-z 0-9 . _ -",
    }),
    model: Label,
    region: Label,
    time_zone: Type.String({ maxLength: 64, description: "an IANA time zone, or empty" }),
  }),
  state_dir: Folder,
  certs_dir: Folder,
  trust: group({
    director_root: Type.String({ description: "a file, or empty" }),
    image_root: Type.String({ description: "a file, or empty" }),
  }),
  gateway: group({
    https_url: url("https"),
    mqtt_url: url("mqtts"),
    timeout_ms: Milliseconds,
    retries: Retries,
    backoff_ms: Milliseconds,
    max_backoff_ms: Milliseconds,
  }),
  tls: group({ profile: Type.Integer({ minimum: 0, maximum: 12, description: "0 to 12" }) }),
  certificate: group({
    renew_before: Type.Number({ minimum: 0.01, maximum: 0.99, description: "0.01 to 0.99" }),
    new_key: Type.Boolean({ description: "true or false" }),
  }),
  intervals: group({ heartbeat_s: Seconds, telemetry_s: Seconds, check_s: Seconds }),
  auto_update: Type.Boolean({ description: "true or false" }),
  download: group({ retries: Retries, backoff_ms: Milliseconds, max_backoff_ms: Milliseconds }),
  installation: group({
    timeout_s: Type.Number({ minimum: 1, maximum: 86_400, description: "seconds, 1 to 86400" }),
  }),
  health_check: group({
    retries: Type.Integer({ minimum: 1, maximum: 100, description: "1 to 100" }),
    interval_ms: Milliseconds,
  }),
  doip: group({
    tester_address: LogicalAddress,
    timeout_ms: Milliseconds,
    edge: group({
      host: Type.String({ minLength: 1, description: "an IP address or a host name" }),
      port: Type.Integer({ minimum: 0, maximum: 65_535, description: "0 to 65535" }),
      logical_address: LogicalAddress,
      functional_address: LogicalAddress,
      announce_to: Type.String({
        pattern: "^([0-9]{1,3}(\\.[0-9]{1,3}){3})?$",
        description: "an IPv4 address, or empty",
      }),
      tls_port: Type.Union([Type.Integer({ minimum: 0, maximum: 65_535 }), Type.Literal("none")], {
        description: "0 to 65535, or none",
      }),
      tls_min_version: Type.Union([Type.Literal(1.2), Type.Literal(1.3)], {
        description: "1.2 or 1.3",
      }),
      tls_testers: Type.Array(AddressRange, {
        maxItems: 64,
        description: "a list of addresses and ranges",
      }),
      client_certificates: Type.Union(
        [Type.Literal("none"), Type.Literal("optional"), Type.Literal("required")],
        { description: "none, optional or required" },
      ),
    }),
  }),
  uds: group({
    authentication: group({
      required_from: Type.Enum(demands, { description: demands.join(", ") }),
    }),
    security_secrets: Type.Record(
      // Of the sub-function that asks for the seed; the next one sends the key.
      Type.String({ pattern: "^([13579]|[1-9][13579]|1[01][13579]|12[135])$" }),
      Type.String({ pattern: "^([0-9A-Fa-f]{2}){1,64}$" }),
      {
        description: "level, odd from 1 to 125: 1 to 64 bytes in hex",
        writeOnly: true,
        additionalProperties: false,
      },
    ),
  }),
  ecu_definitions_dir: Type.String({ description: "a folder, or empty" }),
  vehicle_conditions: group({
    drive: Type.Union([Type.Literal("parked"), Type.Literal("driving")], {
      description: "parked or driving",
    }),
    voltage: Volts,
    driver_consent: Type.Boolean({ description: "true or false" }),
    update_consent: Type.Boolean({ description: "true or false" }),
    battery_soc: Type.Union([Type.Number({ minimum: 0, maximum: 100 }), Type.Null()], {
      description: "percent, 0 to 100, or null",
    }),
    free_storage_bytes: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()], {
      description: "bytes, or null",
    }),
  }),
  diagnostics: group({
    interlocks: group({
      read: Interlocks,
      write: Interlocks,
      control: Interlocks,
      requests: Type.Record(
        Type.String({ pattern: "^([0-9A-Fa-f]{2}|\\.\\.){1,16}$" }),
        Interlocks,
        {
          description:
            "how requests begin, in hex with .. for any byte, each with a list of interlocks",
          additionalProperties: false,
        },
      ),
      voltage_min: Volts,
      voltage_max: Volts,
    }),
    scan_around_updates: Type.Boolean({ description: "true or false" }),
    scan_dids: Type.Array(Type.Integer({ minimum: 0, maximum: 0xffff }), {
      maxItems: 64,
      description: "a list of at most 64 DIDs, 0x0000 to 0xFFFF",
    }),
  }),
  zones: Type.Array(ZoneConfig, { minItems: 1, maxItems: 16, description: "a list of zones" }),
  log: LogConfig,
});
export type VehicleConfig = Static<typeof VehicleConfig> & {
  /** By ECU type; a type without a file has none. */
  definitions: Readonly<Record<string, EcuDefinition>>;
};

/**
 * Loads `config/vehicle.yaml` (or `VMG_CONFIG`) with overrides from the environment.
 * and the definitions of the ECU types in it.
 * @throws ConfigError
 */
export function loadVehicleConfig(env: NodeJS.ProcessEnv = process.env): VehicleConfig {
  const file = env["VMG_CONFIG"] || join(import.meta.dirname, "vehicle.yaml");
  const config = loadConfig({
    schema: VehicleConfig,
    file,
    prefix: "VMG",
    reserved: ["VMG_CONFIG"],
    env,
  });
  const problems = [...duplicates(config.zones), ...emptyRanges(config.doip.edge.tls_testers)];
  if (problems.length > 0) throw new ConfigError(file, problems);
  const folder = config.ecu_definitions_dir || join(import.meta.dirname, "ecus");
  const types = config.zones.flatMap(({ ecus }) => ecus.map(({ ecu_type }) => ecu_type));
  const definitions = loadEcuDefinitions(folder, types);
  return Object.freeze({ ...config, definitions });
}

function emptyRanges(ranges: readonly (number | string)[]): string[] {
  return ranges
    .filter((range) => {
      const [first = 0, last = first] = String(range).split("-").map(Number);
      return first > last;
    })
    .map((range) => `doip.edge.tls_testers: ${range} ends before it begins`);
}

/** Ids and physical addresses name one thing each; zones may share a functional address. */
function duplicates(zones: readonly ZoneConfig[]): string[] {
  const problems: string[] = [];
  const seen = new Set<string>();
  const once = (key: string, value: string | number) => {
    const name = `${key} ${value}`;
    if (seen.has(name)) problems.push(`zones: ${name} appears more than once`);
    seen.add(name);
  };
  for (const zone of zones) {
    once("zone_id", zone.zone_id);
    once("logical_address", zone.logical_address);
    for (const ecu of zone.ecus) {
      once("ecu_id", ecu.ecu_id);
      once("logical_address", ecu.logical_address);
    }
  }
  return problems;
}
