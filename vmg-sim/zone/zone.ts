import type { Clock } from "#protocol/doip/clock.ts";
import { startDoipGateway, type OwnDiagnostics } from "#vmg-sim/network/doip-gateway.ts";
import type { NetworkNode } from "#vmg-sim/network/tester-routes.ts";
import { flashGate, type SignedImage } from "./flash-gate.ts";

/** The VMG, and the testers that come through it. */
const MAX_SOCKETS = 6;

export interface ZoneOptions {
  logical_address: number;
  /** Reaches all ECUs of the zone. */
  functional_address: number;
  host: string;
  /** 0 for any free port. */
  port: number;
  ecus: readonly NetworkNode[];
  clock: Clock;
  /** Takes UDS requests to the zonal gateway itself; without it, its own address is unknown. */
  own?: OwnDiagnostics;
  /**
   * The image that the zonal gateway has verified for an ECU, by logical address. Flash is neither
   * erased nor written without one, nor with another; where this is absent, everything passes.
   */
  imageFor?: (ecu: number) => SignedImage | undefined;
}

/** A zonal gateway that runs. */
export interface Zone {
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * Starts a zonal gateway in front of its ECUs.
 * @throws the listener's error, EADDRINUSE for one
 */
export async function startZone(options: ZoneOptions): Promise<Zone> {
  const { host, port, clock, own, logical_address, functional_address: group, imageFor } = options;
  const gate = imageFor && flashGate(imageFor);
  const ecus = new Map(options.ecus.map((ecu) => [ecu.logical_address, ecu]));
  const listener = await startDoipGateway({
    host,
    port,
    clock,
    logical_address,
    own,
    maxSockets: MAX_SOCKETS,
    isTester: isTesterAddress,
    isGroup: (target) => target === group,
    routesTo(target) {
      if (target === group) return options.ecus.map((node) => ({ node, target }));
      const node = ecus.get(target);
      return node === undefined ? [] : [{ node, target }];
    },
    refuse: ({ node }, request) => gate?.refusalOf(node.logical_address, request),
  });
  return { port: listener.port, stop: () => listener.close() };
}

/** External and legislated test equipment, and testers inside the vehicle (ISO 13400-2). */
function isTesterAddress(source: number): boolean {
  return source >= 0x0e00 && source <= 0x0f7f;
}
