import { ActivationType } from "#protocol/doip/codes.ts";
import type { Clock } from "#protocol/doip/clock.ts";
import type { DiagnosticMessage } from "#protocol/doip/diagnostic-messages.ts";
import { standardTiming, type EntityConfig } from "#protocol/doip/entity-state.ts";
import {
  listenDoip,
  type DoipConnection,
  type DoipListener,
  type DoipListenerOptions,
} from "#protocol/doip/listener.ts";
import { messageFrom, testerRoutes, type Route, type TesterRoutes } from "./tester-routes.ts";

/** Longest UDS message, in bytes. */
export const MAX_REQUEST = 0xffff;

/** Requests to the gateway itself that wait or run; more are refused as the standard has it. */
const MAX_UNDER_WAY = 16;

/** A gateway's own diagnostics, as an ECU's. */
export interface OwnDiagnostics {
  handle(
    request: Uint8Array,
    origin: { source: number; functional: boolean },
    respond: (response: Uint8Array) => void,
  ): Promise<void>;
  /** A tester's connection is gone. */
  disconnected?(source: number): void;
}

export interface DoipGatewayOptions extends Pick<
  DoipListenerOptions,
  "host" | "port" | "tls" | "confirm"
> {
  logical_address: number;
  clock: Clock;
  /** Sockets with an activated routing, at most. */
  maxSockets: number;
  isTester(source: number): boolean;
  isGroup(target: number): boolean;
  /** One for a physical address behind it, one for each node that a group reaches. */
  routesTo(target: number): readonly Route[];
  /** The answer in place of an ECU that must not see a request. */
  refuse?(route: Route, request: Uint8Array): Uint8Array | undefined;
  /** Takes UDS requests to the gateway itself; without it, its own address is unknown. */
  own?: OwnDiagnostics | undefined;
  /** Further activation types, and who may be activated how. */
  activation?: Partial<Pick<EntityConfig, "activationTypes" | "needsTls" | "admit">>;
}

/**
 * A DoIP gateway: activates routing for testers and carries their messages to what is behind it,
 * each over a connection in the tester's name, so that every answer finds its way back.
 * @throws the listener's error, EADDRINUSE for one
 */
export function startDoipGateway(options: DoipGatewayOptions): Promise<DoipListener> {
  const { logical_address, own, clock, isGroup, routesTo } = options;
  const routes = new WeakMap<DoipConnection, TesterRoutes>();
  const sources = new WeakMap<DoipConnection, number>();
  let underWay = 0;
  const entity: EntityConfig = {
    logicalAddress: logical_address,
    isTester: (source) => options.isTester(source),
    activationTypes: [ActivationType.default],
    ...options.activation,
    maxSockets: options.maxSockets,
    maxRequest: MAX_REQUEST,
    routeOf(target) {
      if (isGroup(target)) return "own";
      if (target === logical_address && own !== undefined) {
        return underWay < MAX_UNDER_WAY ? "own" : "full";
      }
      return routesTo(target).length > 0 ? "forwarded" : "unknown";
    },
    timing: standardTiming,
  };

  function routesOf(connection: DoipConnection, source: number): TesterRoutes {
    const known = routes.get(connection);
    if (known !== undefined) return known;
    const refuse = (route: Route, request: Uint8Array) => options.refuse?.(route, request);
    const made = testerRoutes(connection, source, { clock, isGroup, routesTo, refuse });
    routes.set(connection, made);
    return made;
  }

  function answer(connection: DoipConnection, message: DiagnosticMessage): void {
    // A group is not refused for the one that has no time; it just does not answer.
    if (own === undefined || underWay >= MAX_UNDER_WAY) return;
    const { source, target, userData } = message;
    underWay += 1;
    const respond = (response: Uint8Array) =>
      connection.send(messageFrom(logical_address, source, response));
    void own
      .handle(userData, { source, functional: target !== logical_address }, respond)
      .finally(() => {
        underWay -= 1;
      });
  }

  const { host, port, tls, confirm } = options;
  return listenDoip({
    host,
    port,
    tls,
    ...(confirm && { confirm }),
    entity,
    clock,
    onDiagnostic(connection, message) {
      sources.set(connection, message.source);
      const isOwn = message.target === logical_address;
      if (isOwn || isGroup(message.target)) answer(connection, message);
      if (!isOwn) routesOf(connection, message.source).forward(message);
    },
    onDrain: (connection) => routes.get(connection)?.resume(),
    onClosed(connection) {
      routes.get(connection)?.close();
      const source = sources.get(connection);
      if (source !== undefined) own?.disconnected?.(source);
    },
  });
}
