import { join } from "node:path";
import { systemClock, type Clock } from "#protocol/doip/clock.ts";
import type { DiscoverableGateway } from "#protocol/doip/discovery-socket.ts";
import { hardwareId } from "#protocol/uptane/hardware-id.ts";
import type { EcuBehaviour } from "#vmg-sim/ecu/behaviour.ts";
import type { EcuConfig } from "#vmg-sim/ecu/config.ts";
import { startEcu, type Ecu } from "#vmg-sim/ecu/ecu.ts";
import { startEcuNode, type EcuNode } from "#vmg-sim/ecu/node.ts";
import type { AuthenticationOptions } from "#vmg-sim/ecu/tester-trust.ts";
import type { TrustOptions } from "#vmg-sim/ecu/trust.ts";
import { startEdge, type EdgeOptions } from "#vmg-sim/edge/edge.ts";
import { startZone } from "#vmg-sim/zone/zone.ts";

const HOST = "127.0.0.1";

/** Where testers listen for announcements (ISO 13400-2, UDP_DISCOVERY). */
const DISCOVERY_PORT = 13_400;

/** What the edge gateway is called where ECUs are named. */
const EDGE_ID = "VMG.edge";

/** The group address of a zone that names none. */
const DEFAULT_FUNCTIONAL_ADDRESS = 0xe400;

export interface ZoneConfig {
  zone_id: string;
  logical_address: number;
  functional_address?: number;
  /** TCP port of the zonal gateway; 0 or absent for any free one. */
  port?: number;
  ecus: readonly Omit<EcuConfig, "vin">[];
}

/** The diagnostic connector. */
export interface EdgeConfig extends Pick<
  EdgeOptions,
  "host" | "port" | "logical_address" | "functional_address" | "tls"
> {
  /** An IPv4 address, or empty for none. */
  announce_to: string;
  tlsTesters?: EdgeOptions["tlsTesters"];
}

export interface HardwareOptions {
  vin: string;
  zones: readonly ZoneConfig[];
  /** Absent: no tester can be connected. */
  edge?: EdgeConfig | undefined;
  /** Each ECU keeps its banks and its state in a folder of its id below this one. */
  stateFolder: string;
  /** Faults, by ECU id. */
  behaviours?: Readonly<Record<string, EcuBehaviour>>;
  clock?: Clock;
  /** The director that ECUs and zonal gateways ask what may be written; none: everything may. */
  trust?: Omit<TrustOptions, "ecus">;
  /** How each ECU authenticates testers (29); by default it trusts none. */
  authentication?: AuthenticationOptions | undefined;
  /** Something failed in an ECU that is not the tester's fault; by default it is a warning. */
  onFault?: (ecuId: string, error: unknown) => void;
}

export interface HardwareEcu {
  ecu_id: string;
  logical_address: number;
  /** Version of the image that runs. */
  readonly software_version: string;
  setBehaviour(behaviour: EcuBehaviour): void;
}

export interface HardwareZone {
  zone_id: string;
  host: string;
  port: number;
  logical_address: number;
  functional_address: number;
  ecus: HardwareEcu[];
}

/** The ECUs and zonal gateways of one vehicle, switched on. */
export interface Hardware {
  zones: HardwareZone[];
  edge: DiscoverableGateway | undefined;
  stop(): Promise<void>;
}

/**
 * Switches on a vehicle's ECUs and, in front of them, its zonal gateways, all on loopback.
 * @throws what the ECUs and listeners throw; nothing is left running then
 */
export async function startHardware(options: HardwareOptions): Promise<Hardware> {
  const running: { stop(): Promise<void> }[] = [];
  const stop = async () => {
    for (const part of running.splice(0).reverse()) await part.stop();
  };
  try {
    const zones: HardwareZone[] = [];
    for (const zone of options.zones) zones.push(await startZoneWithEcus(zone, options, running));
    const { edge } = options;
    return { zones, edge: edge && (await startConnector(edge, zones, options, running)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startZoneWithEcus(
  config: ZoneConfig,
  options: HardwareOptions,
  running: { stop(): Promise<void> }[],
): Promise<HardwareZone> {
  const { clock = systemClock } = options;
  const functional_address = config.functional_address ?? DEFAULT_FUNCTIONAL_ADDRESS;
  const { zone_id, logical_address } = config;
  const nodes: EcuNode[] = [];
  for (const ecu of config.ecus) {
    const node = await startEcuNode({
      config: { ...ecu, vin: options.vin },
      trust: options.trust,
      authentication: options.authentication,
      stateFolder: join(options.stateFolder, ecu.ecu_id),
      clock,
      behaviour: options.behaviours?.[ecu.ecu_id] ?? {},
      host: HOST,
      functionalAddresses: [functional_address],
      onFault: (error) => (options.onFault ?? warn)(ecu.ecu_id, error),
    });
    running.push(node);
    nodes.push(node);
  }
  const { trust } = options;
  const own = trust && (await startZoneEcu(config, options, clock));
  if (own) running.push(own);
  const zone = await startZone({
    logical_address,
    functional_address,
    host: HOST,
    port: config.port ?? 0,
    ecus: nodes.map(({ port, ecu }) => ({
      logical_address: ecu.config.logical_address,
      host: HOST,
      port,
    })),
    clock,
    ...(own && {
      own,
      imageFor: (address) => {
        const ecu = config.ecus.find(({ logical_address }) => logical_address === address);
        return ecu && own.imageFor(ecu.ecu_id)?.file;
      },
    }),
  });
  running.push(zone);
  const ecus = nodes.map(({ ecu }) => hardwareEcu(ecu));
  return { zone_id, host: HOST, port: zone.port, logical_address, functional_address, ecus };
}

/**
 * The edge gateway, with diagnostics of its own. Where its port is taken, by another vehicle for
 * one, the vehicle does without.
 */
async function startConnector(
  { announce_to, tlsTesters = [], ...config }: EdgeConfig,
  zones: readonly HardwareZone[],
  options: HardwareOptions,
  running: { stop(): Promise<void> }[],
): Promise<DiscoverableGateway | undefined> {
  const { vin, clock = systemClock, onFault = warn } = options;
  const self = { id: EDGE_ID, type: "management-gateway", logical_address: config.logical_address };
  const own = await startGatewayEcu({ ...self, folder: EDGE_ID, behind: [] }, options, clock);
  running.push(own);
  try {
    const edge = await startEdge({
      ...config,
      vin,
      zones,
      own,
      clock,
      tlsTesters,
      announceTo: announce_to ? { address: announce_to, port: DISCOVERY_PORT } : undefined,
    });
    running.push({ stop: () => edge.close() });
    return edge;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    onFault(EDGE_ID, error);
    return undefined;
  }
}

/** What a zonal gateway is itself: an ECU that looks after those behind it. */
function startZoneEcu(
  { zone_id, logical_address, ecus }: ZoneConfig,
  options: HardwareOptions,
  clock: Clock,
): Promise<Ecu> {
  const behind = ecus.map(({ ecu_id, ecu_type, hardware_version }) => ({
    ecuId: ecu_id,
    hardwareId: hardwareId(ecu_type, hardware_version),
    ecuType: ecu_type,
  }));
  const self = { id: zone_id, type: "zonal-gateway", folder: `${zone_id}.zone`, logical_address };
  return startGatewayEcu({ ...self, behind }, options, clock);
}

interface GatewaySelf {
  id: string;
  type: string;
  logical_address: number;
  /** Below the state folder. */
  folder: string;
  /** The ECUs whose assignments it verifies. */
  behind: NonNullable<TrustOptions["ecus"]>;
}

function startGatewayEcu(
  { id, type, logical_address, folder, behind }: GatewaySelf,
  { vin, zones, stateFolder, trust, authentication, onFault = warn }: HardwareOptions,
  clock: Clock,
): Promise<Ecu> {
  const [security] = zones.flatMap(({ ecus }) => ecus.map((ecu) => ecu.security));
  return startEcu({
    config: {
      ecu_id: id,
      logical_address,
      ecu_type: type,
      hardware_version: "HW-1.0",
      software_version: "1.0.0",
      serial_number: `${vin}-${id}`,
      vin,
      dtcs: [],
      ...(security && { security }),
    },
    stateFolder: join(stateFolder, folder),
    clock,
    trust: trust && { ...trust, ecus: behind },
    authentication,
    onFault: (error) => onFault(id, error),
  });
}

function hardwareEcu(ecu: EcuNode["ecu"]): HardwareEcu {
  return {
    ecu_id: ecu.config.ecu_id,
    logical_address: ecu.config.logical_address,
    get software_version() {
      return ecu.softwareVersion;
    },
    setBehaviour: (behaviour) => ecu.setBehaviour(behaviour),
  };
}

function warn(ecuId: string, error: unknown): void {
  process.emitWarning(`${ecuId}: ${String(error)}`, "EcuFault");
}
