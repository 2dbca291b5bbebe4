import type { Clock } from "#protocol/doip/clock.ts";
import { ActivationType, DiagnosticNack, PayloadType } from "#protocol/doip/codes.ts";
import type { DiagnosticMessage } from "#protocol/doip/diagnostic-messages.ts";
import { standardTiming, type EntityConfig } from "#protocol/doip/entity-state.ts";
import { ackOf, nackOf } from "#protocol/doip/entity.ts";
import { listenDoip, type DoipConnection } from "#protocol/doip/listener.ts";
import type { AckOutcome } from "#protocol/doip/tester.ts";
import { ecuLink, type EcuLink } from "./ecu-link.ts";
import { refusalOf } from "./flash-gate.ts";

const MAX_SOCKETS = 4;
const MAX_REQUEST = 0xffff;

/** Requests to the zonal gateway itself that wait or run; more are refused as the standard has it. */
const MAX_UNDER_WAY = 16;

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
  /** Takes UDS requests to the zonal gateway itself; without it, its own address is unknown. */
  own?: OwnDiagnostics;
  /**
   * The image that the zonal gateway has verified for an ECU, by logical address. Flash is neither
   * erased nor written without one; where this is absent, everything passes.
   */
  imageFor?: (ecu: number) => { length: number } | undefined;
}

/** The zonal gateway's own diagnostics, as an ECU's. */
interface OwnDiagnostics {
  handle(
    request: Uint8Array,
    origin: { source: number; functional: boolean },
    respond: (response: Uint8Array) => void,
  ): Promise<void>;
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
  const { host, port, clock, own, logical_address, functional_address: group } = options;
  const ecus = new Map(options.ecus.map((ecu) => [ecu.logical_address, ecu]));
  const routes = new WeakMap<DoipConnection, TesterRoutes>();
  let underWay = 0;
  const entity: EntityConfig = {
    logicalAddress: logical_address,
    isTester: isTesterAddress,
    activationTypes: [ActivationType.default],
    maxSockets: MAX_SOCKETS,
    maxRequest: MAX_REQUEST,
    routeOf(target) {
      if (target === group) return "own";
      if (target === logical_address && own !== undefined) {
        return underWay < MAX_UNDER_WAY ? "own" : "full";
      }
      return ecus.has(target) ? "forwarded" : "unknown";
    },
    timing: standardTiming,
  };

  function routesOf(connection: DoipConnection, source: number): TesterRoutes {
    const known = routes.get(connection);
    if (known !== undefined) return known;
    const made = testerRoutes(connection, source, ecus, options);
    routes.set(connection, made);
    return made;
  }

  function answer(connection: DoipConnection, { source, userData }: DiagnosticMessage): void {
    underWay += 1;
    const respond = (response: Uint8Array) =>
      connection.send(messageFrom(logical_address, source, response));
    void own?.handle(userData, { source, functional: false }, respond).finally(() => {
      underWay -= 1;
    });
  }

  const listener = await listenDoip({
    host,
    port,
    entity,
    clock,
    onDiagnostic(connection, message, acknowledged) {
      if (message.target === logical_address) return answer(connection, message);
      routesOf(connection, message.source).forward(message, acknowledged ? "group" : "ecu");
    },
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
  { clock, imageFor }: ZoneOptions,
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

  /** The answer in place of an ECU that must not see a request. */
  function refusal(address: number, { userData }: DiagnosticMessage): Uint8Array | undefined {
    return imageFor && refusalOf(userData, imageFor(address));
  }

  function send(address: number, message: DiagnosticMessage, onOutcome: OnOutcome): void {
    const refused = refusal(address, message);
    if (refused !== undefined) {
      onOutcome({ kind: "acknowledged" });
      connection.send(messageFrom(address, message.source, refused));
      return;
    }
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

function messageFrom(source: number, target: number, userData: Uint8Array) {
  return { type: PayloadType.diagnosticMessage, source, target, userData } as const;
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
