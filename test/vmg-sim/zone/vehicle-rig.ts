import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { demoSecrets, hmacKey } from "#protocol/uds/security-key.ts";
import type { EcuBehaviour } from "#vmg-sim/ecu/behaviour.ts";
import type { EcuConfig } from "#vmg-sim/ecu/config.ts";
import type { TrustOptions } from "#vmg-sim/ecu/trust.ts";
import { startHardware, type Hardware, type HardwareZone } from "#vmg-sim/hardware.ts";
import type { FlashOptions } from "#vmg-sim/vmg/flash.ts";
import { createUdsLink, type UdsLink, type UdsLinkOptions } from "#vmg-sim/vmg/uds-link.ts";

export const FIRST = 0x1001;
export const SECOND = 0x1002;
export const GROUP = 0xe400;

export const securityKey = hmacKey(demoSecrets);

/** One zone with two ECUs, and a link of a VMG to it. */
export interface VehicleRig {
  readonly zone: HardwareZone;
  readonly link: UdsLink;
  /** Each ECU has a folder of its id below. */
  readonly stateFolder: string;
  readonly faults: unknown[];
  /** Another link, to be closed with the rest. */
  connect(options?: Partial<UdsLinkOptions>): UdsLink;
  behave(ecu: number, behaviour: EcuBehaviour): void;
  /** Asks over the link, in hex. */
  ask(target: number, request: string): Promise<string>;
  version(target: number): Promise<string>;
  dispose(): Promise<void>;
}

export async function vehicleRig(
  config: Partial<EcuConfig> = {},
  behaviours: Record<string, EcuBehaviour> = {},
  trust?: TrustOptions,
): Promise<VehicleRig> {
  const stateFolder = await mkdtemp(join(tmpdir(), "latticeway-zone-"));
  const faults: unknown[] = [];
  const ecu = (ecu_id: string, logical_address: number) => ({
    ecu_id,
    logical_address,
    ecu_type: "brake-controller",
    hardware_version: "HW-1.0",
    software_version: "1.0.0",
    serial_number: `SN-${ecu_id}`,
    ...config,
  });
  const hardware: Hardware = await startHardware({
    vin: "WAUZZZ8V0JA000001",
    stateFolder,
    behaviours,
    ...(trust && { trust }),
    zones: [
      { zone_id: "ZG-1", logical_address: 0x1000, ecus: [ecu("E1", FIRST), ecu("E2", SECOND)] },
    ],
    onFault: (_, error) => faults.push(error),
  });
  const [zone] = hardware.zones;
  if (zone === undefined) throw new Error("no zone");
  const links: UdsLink[] = [];
  const connect = (options: Partial<UdsLinkOptions> = {}) => {
    const link = createUdsLink({ host: zone.host, port: zone.port, ...options });
    links.push(link);
    return link;
  };
  const link = connect();
  const rig: VehicleRig = {
    zone,
    link,
    stateFolder,
    faults,
    connect,
    behave: (address, behaviour) =>
      zone.ecus.find(({ logical_address }) => logical_address === address)?.setBehaviour(behaviour),
    async ask(target, request) {
      const response = await link.request(target, Buffer.from(request, "hex"));
      return Buffer.from(response).toString("hex");
    },
    async version(target) {
      return Buffer.from((await rig.ask(target, "22f195")).slice(6), "hex").toString();
    },
    async dispose() {
      for (const each of links) each.close();
      await hardware.stop();
      await rm(stateFolder, { recursive: true });
      if (faults.length > 0) throw new AggregateError(faults, "an ECU had faults");
    },
  };
  return rig;
}

/** What `flashEcu` takes for an image that is cut into chunks of this length. */
export function flashOptions(
  image: Uint8Array,
  version: string,
  chunkLength = 1_000,
): FlashOptions {
  async function* chunks() {
    for (let at = 0; at < image.length; at += chunkLength) {
      yield image.subarray(at, at + chunkLength);
    }
  }
  const sha256 = createHash("sha256").update(image).digest();
  return { image: chunks(), length: image.length, sha256, version, securityKey };
}
