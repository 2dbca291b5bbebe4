import { ActivationCode, ActivationType } from "#protocol/doip/codes.ts";
import type { Clock } from "#protocol/doip/clock.ts";
import type { RoutingActivationRequest } from "#protocol/doip/control-messages.ts";
import { gatewayIdentity } from "#protocol/doip/discovery.ts";
import { discoverable, type DiscoverableGateway } from "#protocol/doip/discovery-socket.ts";
import type { Admission, EntityConfig, Security } from "#protocol/doip/entity-state.ts";
import type { TlsPort } from "#protocol/doip/listener.ts";
import {
  MAX_REQUEST,
  startDoipGateway,
  type OwnDiagnostics,
} from "#vmg-sim/network/doip-gateway.ts";
import type { NetworkNode, Route } from "#vmg-sim/network/tester-routes.ts";

/** Testers at once; each zonal gateway has room for them and for the VMG. */
const MAX_SOCKETS = 4;

/** Functional addressing of emissions-related systems (ISO 13400-2, WWH-OBD). */
const OBD_GROUP = 0xe000;

/** A zonal gateway as the edge gateway reaches it. */
export interface EdgeZone extends NetworkNode {
  functional_address: number;
  ecus: readonly { logical_address: number }[];
}

export interface EdgeOptions {
  vin: string;
  host: string;
  /** TCP and UDP; 13400 in the standard, 0 for any that are free. */
  port: number;
  tls?: TlsPort | undefined;
  logical_address: number;
  /** Reaches every ECU of the vehicle. */
  functional_address: number;
  /** Testers that must come by TLS, by the first and the last address of each range. */
  tlsTesters: readonly (readonly [first: number, last: number])[];
  /** Whether the driver agrees to central security; by default so. */
  confirm?: (request: RoutingActivationRequest) => Promise<boolean>;
  /** Where the vehicle announces itself. */
  announceTo?: { address: string; port: number } | undefined;
  zones: readonly EdgeZone[];
  own: OwnDiagnostics;
  clock: Clock;
}

/**
 * Starts the VMG's side towards the workshop: the DoIP edge gateway through which a tester reaches
 * every ECU of the vehicle, by the zonal gateways.
 * @throws the listeners' errors, EADDRINUSE for one; nothing is left listening then
 */
export async function startEdge(options: EdgeOptions): Promise<DiscoverableGateway> {
  const { host, port, tls, confirm, clock, zones, functional_address } = options;
  const listener = await startDoipGateway({
    host,
    port,
    tls,
    ...(confirm && { confirm }),
    clock,
    own: options.own,
    logical_address: options.logical_address,
    maxSockets: MAX_SOCKETS,
    isTester: isExternalTester,
    activation: activation(options),
    ...routing(zones, [functional_address, OBD_GROUP]),
  });
  return discoverable(listener, {
    host,
    port,
    identity: gatewayIdentity(options.vin, options.logical_address),
    maxSockets: MAX_SOCKETS,
    maxDataSize: MAX_REQUEST,
    clock,
    announceTo: options.announceTo,
  });
}

/** Where each address of the vehicle is, and what each group of it reaches. */
function routing(zones: readonly EdgeZone[], everybody: readonly number[]) {
  const routes = new Map<number, Route[]>();
  const add = (address: number, route: Route) =>
    routes.set(address, [...(routes.get(address) ?? []), route]);
  for (const node of zones) {
    const group = { node, target: node.functional_address };
    for (const address of [node.logical_address, ...node.ecus.map((ecu) => ecu.logical_address)]) {
      add(address, { node, target: address });
    }
    for (const address of new Set([node.functional_address, ...everybody])) add(address, group);
  }
  const groups = new Set([...zones.map((zone) => zone.functional_address), ...everybody]);
  return {
    isGroup: (target: number) => groups.has(target),
    routesTo: (target: number) => routes.get(target) ?? [],
  };
}

/** Legislated and external test equipment; addresses inside the vehicle don't come from outside. */
function isExternalTester(source: number): boolean {
  return source >= 0x0e00 && source <= 0x0eff;
}

/** Central security is for testers with a certificate, and for the driver to agree to. */
function activation({ tlsTesters }: EdgeOptions): Partial<EntityConfig> {
  return {
    activationTypes: [
      ActivationType.default,
      ActivationType.regulatory,
      ActivationType.centralSecurity,
    ],
    needsTls: ({ source, activationType }) =>
      tlsTesters.some(([first, last]) => source >= first && source <= last) ||
      activationType === ActivationType.centralSecurity,
    admit({ activationType }, security: Security | undefined): Admission {
      if (activationType !== ActivationType.centralSecurity) return ActivationCode.activated;
      return security === "authenticated"
        ? ActivationCode.confirmationPending
        : ActivationCode.authenticationMissing;
    },
  };
}
