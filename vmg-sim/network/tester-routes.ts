import type { Clock } from "#protocol/doip/clock.ts";
import { DiagnosticNack, PayloadType } from "#protocol/doip/codes.ts";
import type { DiagnosticMessage } from "#protocol/doip/diagnostic-messages.ts";
import { ackOf, nackOf } from "#protocol/doip/entity.ts";
import type { DoipConnection } from "#protocol/doip/listener.ts";
import type { AckOutcome } from "#protocol/doip/tester.ts";
import { nodeLink, type NodeLink } from "./node-link.ts";

/** A DoIP entity on the network behind a gateway. */
export interface NetworkNode {
  logical_address: number;
  host: string;
  port: number;
}

/** The way of a message: the node it is handed to, and whom it is for there. */
export interface Route {
  node: NetworkNode;
  target: number;
}

export interface TesterRoutesOptions {
  clock: Clock;
  isGroup(target: number): boolean;
  /** One for a physical address, one for each node that a group reaches. */
  routesTo(target: number): readonly Route[];
  /** The answer in place of an ECU that must not see a request; undefined lets it pass. */
  refuse(route: Route, request: Uint8Array): Uint8Array | undefined;
}

/** One tester's links to what is behind a gateway; whichever side is slow slows the other. */
export interface TesterRoutes {
  /** Carries a message to one ECU, which acknowledges or refuses it, or to a group. */
  forward(message: DiagnosticMessage): void;
  /** The tester takes answers again. */
  resume(): void;
  close(): void;
}

/** The routes of the tester on this connection, each over a connection in the tester's name. */
export function testerRoutes(
  connection: DoipConnection,
  source: number,
  { clock, isGroup, routesTo, refuse }: TesterRoutesOptions,
): TesterRoutes {
  const links = new Map<NetworkNode, NodeLink>();

  function linkTo(node: NetworkNode): NodeLink {
    const known = links.get(node);
    if (known !== undefined) return known;
    const link = nodeLink({
      host: node.host,
      port: node.port,
      source,
      clock,
      onMessage(message) {
        connection.send(message);
        if (connection.congested) for (const each of links.values()) each.pause();
      },
      onDrain: release,
    });
    links.set(node, link);
    return link;
  }

  function release(): void {
    if (![...links.values()].some(({ congested }) => congested)) connection.resume();
  }

  function send(route: Route, { target, userData }: DiagnosticMessage, onOutcome: OnOutcome): void {
    const refused = refuse(route, userData);
    if (refused !== undefined) {
      onOutcome({ kind: "acknowledged" });
      const asked = isGroup(target) ? route.node.logical_address : target;
      connection.send(messageFrom(asked, source, refused));
      return;
    }
    const link = linkTo(route.node);
    link.forward(route.target, userData, onOutcome);
    if (link.congested) connection.pause();
  }

  return {
    forward(message) {
      const routes = routesTo(message.target);
      if (isGroup(message.target)) {
        // The group has been acknowledged as one; an ECU that is not there just does not answer.
        for (const route of routes) send(route, message, () => {});
        return;
      }
      const [route] = routes;
      const report = (outcome: AckOutcome) => connection.send(answerTo(message, outcome));
      if (route === undefined) report({ kind: "lost", reason: "no such address" });
      else send(route, message, report);
    },
    resume() {
      for (const link of links.values()) link.resume();
    },
    close() {
      for (const link of links.values()) link.close();
    },
  };
}

/** A diagnostic message from one address to another. */
export function messageFrom(source: number, target: number, userData: Uint8Array) {
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
