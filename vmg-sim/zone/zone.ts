import type { Clock } from "#protocol/doip/clock.ts";
import { ActivationType, DiagnosticNack } from "#protocol/doip/codes.ts";
import type { DiagnosticMessage } from "#protocol/doip/diagnostic-messages.ts";
import { ackOf, nackOf, standardTiming, type EntityConfig } from "#protocol/doip/entity.ts";
import { listenDoip, type DoipConnection } from "#protocol/doip/listener.ts";
import type { AckOutcome } from "#protocol/doip/tester.ts";
import { ecuLink, type EcuLink } from "./ecu-link.ts";

const MAX_SOCKETS = 4;
const MAX_REQUEST = 0xffff;

/** Where an ECU of the zone listens. */
export interface ZoneEcu {
  logical_address: number;
  host: string;
  port: number;
}

export interface ZoneOptions {
  logical_address: number;
  /** Reaches all ECUs of the zone. */
  functional_address: number;
  host: string;
  /** 0 for any free port. */
  port: number;
  ecus: readonly ZoneEcu[];
  clock: Clock;
}

/** A zonal gateway that runs. */
export interface Zone {
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * Starts a zonal gateway: a DoIP entity that activates routing for testers and carries their
 * messages to its ECUs, each over a connection in the tester's name, so that every answer finds its
 * way back.
 * @throws the listener's error, EADDRINUSE for one
 */
export async function startZone(options: ZoneOptions): Promise<Zone> {
  const { host, port, clock, functional_address: group } = options;
  const ecus = new Map(options.ecus.map((ecu) => [ecu.logical_address, ecu]));
  const routes = new WeakMap<DoipConnection, TesterRoutes>();
  const entity: EntityConfig = {
    logicalAddress: options.logical_address,
    isTester: isTesterAddress,
    activationTypes: [ActivationType.default],
    maxSockets: MAX_SOCKETS,
    maxRequest: MAX_REQUEST,
    routeOf(target) {
      if (target === group) return "own";
      return ecus.has(target) ? "forwarded" : "unknown";
    },
    timing: standardTiming,
  };

  function routesOf(connection: DoipConnection, source: number): TesterRoutes {
    const known = routes.get(connection);
    if (known !== undefined) return known;
    const made = testerRoutes(connection, source, ecus, clock);
    routes.set(connection, made);
    return made;
  }

  const listener = await listenDoip({
    host,
    port,
    entity,
    clock,
    onDiagnostic: (connection, message, acknowledged) =>
      routesOf(connection, message.source).forward(message, acknowledged ? "group" : "ecu"),
    onDrain: (connection) => routes.get(connection)?.resume(),
    onClosed: (connection) => routes.get(connection)?.close(),
  });
  return { port: listener.port, stop: () => listener.close() };
}

/** External and legislated test equipment, and testers inside the vehicle (ISO 13400-2). */
function isTesterAddress(source: number): boolean {
  return source >= 0x0e00 && source <= 0x0f7f;
}

interface TesterRoutes {
  forward(message: DiagnosticMessage, to: "ecu" | "group"): void;
  resume(): void;
  close(): void;
}

/** One tester's links to the ECUs; whichever side is slow slows the other. */
function testerRoutes(
  connection: DoipConnection,
  source: number,
  ecus: ReadonlyMap<number, ZoneEcu>,
  clock: Clock,
): TesterRoutes {
  const links = new Map<number, EcuLink>();

  function linkTo(address: number): EcuLink | undefined {
    const ecu = ecus.get(address);
    const known = links.get(address);
    if (known !== undefined || ecu === undefined) return known;
    const link = ecuLink({
      host: ecu.host,
      port: ecu.port,
      source,
      clock,
      onMessage(message) {
        connection.send(message);
        if (connection.congested) for (const each of links.values()) each.pause();
      },
      onDrain: release,
    });
    links.set(address, link);
    return link;
  }

  function release(): void {
    if (![...links.values()].some(({ congested }) => congested)) connection.resume();
  }

  function send(address: number, message: DiagnosticMessage, onOutcome: OnOutcome): void {
    const link = linkTo(address);
    link?.forward(message.target, message.userData, onOutcome);
    if (link?.congested === true) connection.pause();
  }

  return {
    forward(message, to) {
      if (to === "ecu") {
        send(message.target, message, (outcome) => connection.send(answerTo(message, outcome)));
        return;
      }
      // The group has been acknowledged as one; an ECU that is not there just does not answer.
      for (const address of ecus.keys()) send(address, message, () => {});
    },
    resume() {
      for (const link of links.values()) link.resume();
    },
    close() {
      for (const link of links.values()) link.close();
    },
  };
}

type OnOutcome = (outcome: AckOutcome) => void;

/** What the tester hears of its message: the ECU's own word, or that the ECU can't be reached. */
function answerTo(message: DiagnosticMessage, outcome: AckOutcome) {
  switch (outcome.kind) {
    case "acknowledged":
      return ackOf(message);
    case "refused":
      return nackOf(message, outcome.code);
    default:
      return nackOf(message, DiagnosticNack.targetUnreachable);
  }
}
