import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "#protocol/doip/clock.ts";
import type { DiscoverableGateway } from "#protocol/doip/discovery-socket.ts";
import type { Examined } from "#test/protocol/doip/conformance.ts";
import { testDefinition } from "#test/vmg-sim/ecu/test-definition.ts";
import type { AuthenticationOptions } from "#vmg-sim/ecu/tester-trust.ts";
import { startHardware, type EdgeConfig, type Hardware } from "#vmg-sim/hardware.ts";

export const VIN = "LATTICE0000000001";
/** Logical addresses: the edge gateway, two zonal gateways, an ECU of the one, two of the other. */
export const EDGE = 0x0001;
export const FRONT = 0x1001;
export const REAR = 0x2001;
export const REAR_TOO = 0x2002;
/** Groups: the front zone, the rear zone, the vehicle. */
export const FRONT_GROUP = 0xe400;
const REAR_GROUP = 0xe401;
export const ALL = 0xe4ff;

export interface EdgeRig {
  readonly hardware: Hardware;
  readonly edge: DiscoverableGateway;
  dispose(): Promise<void>;
}

/**
 * A vehicle of two zones with its diagnostic connector, on free ports. The second ECU of the rear
 * zone can do all that a definition can say.
 */
export async function edgeRig(
  clock: Clock,
  connector: Partial<EdgeConfig> = {},
  authentication?: AuthenticationOptions,
): Promise<EdgeRig> {
  const stateFolder = await mkdtemp(join(tmpdir(), "latticeway-edge-"));
  const ecu = (logical_address: number) => ({
    ecu_id: `ECU_${logical_address.toString(16)}`,
    logical_address,
    ecu_type: "brake-controller",
    hardware_version: "HW-1.0",
    software_version: "1.0.0",
    serial_number: `SN-${logical_address}`,
    ...(logical_address === REAR_TOO && { definition: testDefinition }),
  });
  const zone = (zone_id: string, address: number, group: number, ecus: number[]) => ({
    zone_id,
    logical_address: address,
    functional_address: group,
    ecus: ecus.map(ecu),
  });
  const hardware = await startHardware({
    vin: VIN,
    stateFolder,
    clock,
    authentication,
    zones: [
      zone("F", 0x1000, FRONT_GROUP, [FRONT]),
      zone("R", 0x2000, REAR_GROUP, [REAR, REAR_TOO]),
    ],
    edge: {
      host: "127.0.0.1",
      port: 0,
      logical_address: EDGE,
      functional_address: ALL,
      announce_to: "",
      ...connector,
    },
  });
  const { edge } = hardware;
  if (edge === undefined) throw new Error("the vehicle has no connector");
  return {
    hardware,
    edge,
    async dispose() {
      await hardware.stop();
      await rm(stateFolder, { recursive: true });
    },
  };
}

/** The vehicle as one that is held against the standard by this TCP port; an ECU takes its time. */
export function examinedEdge({ hardware, edge }: EdgeRig, tcp: number): Examined {
  const ecus = hardware.zones.flatMap((zone) => zone.ecus);
  ecus.find(({ ecu_id }) => ecu_id === "ECU_2001")?.setBehaviour({ slowMs: 200 });
  const members = [EDGE, FRONT, REAR, REAR_TOO];
  return { tcp, udp: edge.udpPort, vin: VIN, ecus: [FRONT, REAR], group: ALL, members };
}
