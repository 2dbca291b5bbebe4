import { ActivationType, PayloadType } from "#protocol/doip/codes.ts";
import type { DiagnosticMessage } from "#protocol/doip/diagnostic-messages.ts";
import { standardTiming, type EntityConfig } from "#protocol/doip/entity-state.ts";
import { listenDoip, type DoipConnection } from "#protocol/doip/listener.ts";
import { startEcu, type Ecu, type EcuOptions } from "./ecu.ts";

/** Requests that wait or run, of all testers together; more are refused as the standard has it. */
const MAX_UNDER_WAY = 16;

const MAX_SOCKETS = 4;
const MAX_REQUEST = 0xffff;

/** An ECU on the vehicle's network: a DoIP node of its own. */
export interface EcuNode {
  readonly port: number;
  readonly ecu: Ecu;
  stop(): Promise<void>;
}

export interface EcuNodeOptions extends Omit<EcuOptions, "onReset" | "onRestarted"> {
  host: string;
  /** The group addresses the ECU listens to as well. */
  functionalAddresses: readonly number[];
}

/**
 * Starts an ECU and listens for its zonal gateway on a free port.
 * @throws what {@link startEcu} and the listener throw
 */
export async function startEcuNode(options: EcuNodeOptions): Promise<EcuNode> {
  const own = options.config.logical_address;
  let underWay = 0;
  const entity: EntityConfig = {
    logicalAddress: own,
    isTester: () => true,
    activationTypes: [ActivationType.default],
    maxSockets: MAX_SOCKETS,
    maxRequest: MAX_REQUEST,
    routeOf(target) {
      if (target !== own && !options.functionalAddresses.includes(target)) return "unknown";
      return underWay < MAX_UNDER_WAY ? "own" : "full";
    },
    timing: standardTiming,
  };
  const ecu = await startEcu({
    ...options,
    onReset: () => listener.goOffline(),
    onRestarted: () => listener.goOnline(),
  });

  const sources = new WeakMap<DoipConnection, number>();

  function take(connection: DoipConnection, message: DiagnosticMessage): void {
    sources.set(connection, message.source);
    underWay += 1;
    const origin = {
      source: message.source,
      functional: message.target !== own,
      congested: () => connection.congested,
    };
    void ecu
      .handle(message.userData, origin, (response) =>
        connection.send({
          type: PayloadType.diagnosticMessage,
          source: ecu.answersFrom,
          target: message.source,
          userData: response,
        }),
      )
      .finally(() => {
        underWay -= 1;
      });
  }

  const { host, clock } = options;
  const listener = await listenDoip({
    host,
    port: 0,
    entity,
    clock,
    onDiagnostic: take,
    onClosed(connection) {
      const source = sources.get(connection);
      if (source !== undefined) ecu.disconnected(source);
    },
  });
  return {
    port: listener.port,
    ecu,
    async stop() {
      await listener.close();
      await ecu.stop();
    },
  };
}
