import { ActivationType, PayloadType } from "#protocol/doip/codes.ts";
import type { Clock } from "#protocol/doip/clock.ts";
import type { DiagnosticMessage } from "#protocol/doip/diagnostic-messages.ts";
import { gatewayIdentity } from "#protocol/doip/discovery.ts";
import { discoverable, type DiscoverableGateway } from "#protocol/doip/discovery-socket.ts";
import { standardTiming, type EntityConfig } from "#protocol/doip/entity-state.ts";
import { listenDoip, type DoipConnection } from "#protocol/doip/listener.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { isSilentWhenFunctional, negativeResponse } from "#protocol/uds/response.ts";
import { Sid, suppressesPositive } from "#protocol/uds/service.ts";
import type { RemoteCar, RemoteEcu, RemoteOutcome } from "./remote-car.ts";
import { isKeepAlive, tunnelSessions, type TunnelSessions } from "./tunnel-sessions.ts";

/** What a tester has asked and heard, with the time that it took. */
export interface TunnelledExchange {
  tester: number;
  target: number;
  request: Uint8Array;
  outcome: RemoteOutcome;
  duration_ms: number;
}

export interface TunnelOptions {
  car: RemoteCar;
  host: string;
  /** TCP and UDP; 0 for any that are free. */
  port: number;
  clock: Clock;
  onExchange?: (exchange: TunnelledExchange) => void;
  /** Every message, as it goes by. */
  onMessage?: (from: "tester" | "vehicle", message: DiagnosticMessage) => void;
}

const LOGICAL_ADDRESS = 0x0001;
/** They reach every ECU: WWH-OBD, and the range for groups of the manufacturer's. */
const isGroup = (target: number) => target === 0xe000 || (target >= 0xe400 && target <= 0xefff);

const MAX_SOCKETS = 8;
/** The gateway takes no longer request. */
const MAX_REQUEST = 4095;
/** Requests on their way to the car; more are refused as the standard has it. */
const MAX_UNDER_WAY = 32;

/** The first 78 goes out with a reserve to P2 (50 ms), the ones after it with one to P2* (5 s). */
const FIRST_PENDING_MS = 40;
const NEXT_PENDING_MS = 2_000;

/**
 * Starts a DoIP entity on this machine that stands for a car far away: a tester that connects finds
 * the car's ECUs under their own addresses.
 * @throws the listeners' errors, EADDRINUSE for one
 */
export async function startTunnel(options: TunnelOptions): Promise<DiscoverableGateway> {
  const { car, host, port, clock } = options;
  const tunnel: Tunnel = {
    options,
    ecus: new Map(car.ecus.map((ecu) => [ecu.logical_address, ecu])),
    sessions: tunnelSessions(car),
    underWay: 0,
  };
  const listener = await listenDoip({
    host,
    port,
    entity: entityOf(tunnel),
    clock,
    onDiagnostic: (connection, message) => void carry(tunnel, connection, message),
    onClosed: ({ id }) => void tunnel.sessions.leave(id),
  });
  const gateway = await discoverable(listener, {
    host,
    port,
    clock,
    identity: gatewayIdentity(car.vin, LOGICAL_ADDRESS, `tunnel to ${car.vin}`),
    maxSockets: MAX_SOCKETS,
    maxDataSize: MAX_REQUEST,
  });
  return {
    ...gateway,
    async close() {
      await gateway.close();
      await tunnel.sessions.closeAll();
    },
  };
}

interface Tunnel {
  options: TunnelOptions;
  ecus: ReadonlyMap<number, RemoteEcu>;
  sessions: TunnelSessions;
  /** Requests on their way to the car. */
  underWay: number;
}

function entityOf(tunnel: Tunnel): EntityConfig {
  return {
    logicalAddress: LOGICAL_ADDRESS,
    isTester: (source) => source >= 0x0e00 && source <= 0x0eff,
    activationTypes: [ActivationType.default, ActivationType.regulatory],
    maxSockets: MAX_SOCKETS,
    maxRequest: MAX_REQUEST,
    routeOf(target) {
      if (!tunnel.ecus.has(target) && !isGroup(target)) return "unknown";
      return tunnel.underWay < MAX_UNDER_WAY ? "own" : "full";
    },
    timing: standardTiming,
  };
}

async function carry(
  tunnel: Tunnel,
  connection: DoipConnection,
  message: DiagnosticMessage,
): Promise<void> {
  const { clock, onMessage, onExchange } = tunnel.options;
  const { source: tester, target } = message;
  // The segment it came in is used again for the next one.
  const request = Uint8Array.from(message.userData);
  onMessage?.("tester", { ...message, userData: request });
  const answer = (source: number, userData: Uint8Array) => {
    const type = PayloadType.diagnosticMessage;
    const said = { type, source, target: tester, userData } as const;
    onMessage?.("vehicle", said);
    connection.send(said);
  };
  const started = clock.now();
  const ecu = tunnel.ecus.get(target);
  const settle =
    ecu && !suppressesPositive(request)
      ? keepWaiting(clock, () => answer(target, pending(request)))
      : () => {};
  tunnel.underWay += 1;
  const outcome = await ask(tunnel, connection, ecu, request);
  tunnel.underWay -= 1;
  settle();
  if (outcome.kind === "answered") {
    // The car answers what the gateway has asked it, a session for one; the bit is the tester's. The
    // 78 that lets an ECU of a group say that it can't stays with the car.
    const isKept = (response: Uint8Array) =>
      ecu ? suppresses(request, response) : isSilentWhenFunctional(response);
    for (const { logical_address, response } of outcome.answers)
      if (!isKept(response)) answer(logical_address, response);
  } else if (ecu) answer(target, negativeResponse(request[0] ?? 0, nrcOf(outcome.code)));
  onExchange?.({ tester, target, request, outcome, duration_ms: clock.now() - started });
}

async function ask(
  { options: { car }, sessions }: Tunnel,
  connection: DoipConnection,
  ecu: RemoteEcu | undefined,
  request: Uint8Array,
): Promise<RemoteOutcome> {
  if (isKeepAlive(request)) return { kind: "answered", answers: [] };
  return ecu ? sessions.ask(connection.id, ecu, request) : car.askAll(request);
}

function suppresses(request: Uint8Array, response: Uint8Array): boolean {
  return suppressesPositive(request) && response[0] !== Sid.negativeResponse;
}

/** Says again and again that the answer will come, as the tester's P2 and P2* demand. */
function keepWaiting(clock: Clock, sayPending: () => void): () => void {
  let cancel = clock.after(FIRST_PENDING_MS, again);
  function again(): void {
    sayPending();
    cancel = clock.after(NEXT_PENDING_MS, again);
  }
  return () => cancel();
}

function pending(request: Uint8Array): Uint8Array {
  return negativeResponse(request[0] ?? 0, Nrc.responsePending);
}

/** What a tester hears when no ECU has said anything. */
function nrcOf(code: string): number {
  switch (code) {
    case "VEHICLE_BUSY":
      return Nrc.busyRepeatRequest;
    case "PROGRAMMING_REFUSED":
    case "SESSION_EXISTS":
    case "ECU_LOCKED":
    case "APPROVAL_NEEDED":
      return Nrc.conditionsNotCorrect;
    case "DIAGNOSTIC_DENIED":
    case "ROLE_REQUIRED":
      return Nrc.securityAccessDenied;
    case "TOKEN_INVALID":
    case "OPERATOR_REVOKED":
      return Nrc.authenticationRequired;
    default:
      return Nrc.noResponseFromSubnetComponent;
  }
}
