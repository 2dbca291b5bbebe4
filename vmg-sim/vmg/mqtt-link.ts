import { createSecureContext, TLSSocket, type ConnectionOptions } from "node:tls";
import { callbackify } from "node:util";
import { connect, type IClientOptions, type MqttClient } from "mqtt";
import type { Logger } from "pino";
import { negotiated, type Negotiated } from "#crypto/negotiated.ts";
import { parseJson } from "#protocol/bytes/json.ts";
import { parseTopic, topicOf, type VehicleTopic } from "#protocol/mqtt/topic.ts";
import type { Outbox } from "./outbox.ts";
import { backoffMs, type Backoff, type Pace } from "./pace.ts";

type Published = "telemetry" | "heartbeat" | "diagnostics";
type Subscribed = (typeof SUBSCRIPTIONS)[number];

export interface MqttLinkDeps {
  /** `mqtts://host:port` */
  url: string;
  vin: string;
  tls: ConnectionOptions;
  /** Between two connections. */
  backoff: Omit<Backoff, "retries">;
  pace: Pace;
  outbox: Outbox;
  log: Logger;
  onConnected: (connection: Negotiated) => void;
  onDisconnected: () => void;
  /**
   * What to do with a message. It is acknowledged to the gateway when the handler has returned,
   * and nothing else is read until then: a handler notes what must not be lost and leaves the
   * work, and above all waiting for the gateway, for later.
   */
  handlers: Record<Subscribed, (payload: unknown) => Promise<void> | void>;
}

export interface MqttLink {
  readonly connected: boolean;
  /** Resolves when the link is up and subscribed for the first time. */
  readonly ready: Promise<void>;
  /** QoS 1, kept in memory while offline up to a bound. @returns false when it is dropped. */
  publish(topic: Published, payload: object): boolean;
  /**
   * Sends what may not be dropped, in order, waiting for room; resolves when it is acknowledged.
   * @throws when the link is stopped
   */
  deliver(topic: VehicleTopic, payload: object): Promise<void>;
  /** Connects anew with these options; what was not acknowledged is sent again. */
  useTls(tls: ConnectionOptions): void;
  stop(): Promise<void>;
}

const SUBSCRIPTIONS = [
  "control",
  "diagnostics",
  "diagnostics/control",
  "config",
] as const satisfies VehicleTopic[];
const KEEPALIVE_S = 30;
/** Messages of `publish` that may wait for their acknowledgement. */
const MAX_UNACKNOWLEDGED = 256;
/** How long a stop waits for messages that are under way. */
const STOP_GRACE_MS = 1000;

/**
 * The vehicle's persistent MQTT 3.1.1 session; connects again for as long as it isn't stopped. What
 * is in the outbox is sent in order, one after the other, until it is acknowledged.
 */
export function connectMqtt(deps: MqttLinkDeps): MqttLink {
  const { vin, outbox, pace, backoff, log } = deps;
  const client = connect(clientOptions(deps));
  const stopping = new AbortController();
  const firstConnection = Promise.withResolvers<void>();
  let attempt = 0;
  let unacknowledged = 0;
  const waiting: (() => void)[] = [];

  const acknowledged = () => {
    unacknowledged--;
    waiting.shift()?.();
  };
  reportFailures(client, log, stopping.signal);
  const drainOutbox = outboxSender(client, deps, stopping.signal);
  const take = callbackify((packet: { topic: string; payload: Buffer | string }) =>
    handle(deps, packet.topic, packet.payload),
  );
  client.handleMessage = (packet, done) =>
    take(packet, (error) => {
      if (error) log.error({ err: error, topic: packet.topic }, "a message could not be taken");
      done(error ?? undefined);
    });
  client.on("connect", () => {
    attempt = 0;
    client.options.reconnectPeriod = backoffMs(attempt, backoff, pace.random);
    if (client.stream instanceof TLSSocket) {
      // Messages are small and somebody waits for their answers.
      client.stream.setNoDelay(true);
      deps.onConnected(negotiated(client.stream));
    }
    void subscribe(client, vin, log).then((granted) => granted && firstConnection.resolve());
    void drainOutbox();
  });
  client.on("reconnect", () => {
    client.options.reconnectPeriod = backoffMs(++attempt, backoff, pace.random);
  });
  client.on("offline", () => deps.onDisconnected());
  outbox.onPut(() => void drainOutbox());

  return {
    get connected() {
      return client.connected;
    },
    ready: firstConnection.promise,
    publish(topic, payload) {
      if (stopping.signal.aborted || unacknowledged >= MAX_UNACKNOWLEDGED) return false;
      unacknowledged++;
      client.publish(topicOf(vin, topic), JSON.stringify(payload), { qos: 1 }, acknowledged);
      return true;
    },
    async deliver(topic, payload) {
      const isFull = unacknowledged >= MAX_UNACKNOWLEDGED || waiting.length > 0;
      if (isFull) await new Promise<void>((resolve) => waiting.push(resolve));
      stopping.signal.throwIfAborted();
      unacknowledged++;
      const text = JSON.stringify(payload);
      await client.publishAsync(topicOf(vin, topic), text, { qos: 1 }).finally(acknowledged);
    },
    useTls(tls) {
      // Taken from here by each new connection; the type lacks it.
      Object.assign(client.options, { secureContext: createSecureContext(tls) });
      client.stream.destroy();
    },
    async stop() {
      if (stopping.signal.aborted) return;
      stopping.abort();
      for (const wake of waiting.splice(0)) wake();
      await (client.connected ? endGently(client, pace) : client.endAsync(true));
      await outbox.close();
    },
  };
}

/** Once for a gateway that is away, not once for each of the tries. */
function reportFailures(client: MqttClient, log: Logger, stopping: AbortSignal): void {
  let failing = false;
  let isLetIn = false;
  const report = (fields: object, why: string) => {
    if (!stopping.aborted) {
      const level = failing ? "debug" : "warn";
      log[level](fields, `no MQTT connection${why}; trying again and again`);
    }
    failing = true;
  };
  client.on("connect", () => {
    failing = false;
    isLetIn = true;
  });
  client.on("error", (error) => report({ err: error }, ""));
  client.on("close", () => {
    // Which certificates it refuses, a gateway can't say: TLS 1.3 is done when it sees them.
    const why = ": the gateway closes it at once, its log says why (a revoked certificate?)";
    if (!isLetIn && !failing) report({}, why);
    isLetIn = false;
  });
}

/** Sends what is in the outbox, one message after the other, for as long as there is a connection. */
function outboxSender(
  client: MqttClient,
  { outbox, log }: MqttLinkDeps,
  stopping: AbortSignal,
): () => Promise<void> {
  let sending = false;
  return async () => {
    if (sending || !client.connected) return;
    sending = true;
    try {
      for (let next = outbox.first(); next; next = outbox.first()) {
        await client.publishAsync(next.topic, next.payload, { qos: 1 });
        await outbox.acknowledge(next.seq);
      }
    } catch (error) {
      if (!stopping.aborted) log.warn({ err: error }, "sending from the outbox failed");
    } finally {
      sending = false;
    }
  };
}

function clientOptions({ url, vin, tls, backoff, pace }: MqttLinkDeps): IClientOptions {
  const { hostname, port } = new URL(url);
  const options = {
    protocol: "mqtts",
    protocolVersion: 4,
    host: hostname.replace(/^\[(.*)\]$/, "$1"),
    port: Number(port || 8883),
    clientId: vin,
    // The gateway keeps commands for a vehicle that is away.
    clean: false,
    keepalive: KEEPALIVE_S,
    reconnectPeriod: backoffMs(0, backoff, pace.random),
    // Subscribed on every connection by hand: a gateway may have lost the session.
    resubscribe: false,
    secureContext: createSecureContext(tls),
    rejectUnauthorized: true,
  } as const;
  return options;
}

async function subscribe(client: MqttClient, vin: string, log: Logger): Promise<boolean> {
  try {
    const topics = SUBSCRIPTIONS.map((name) => topicOf(vin, name));
    const grants = await client.subscribeAsync(topics, { qos: 1 });
    const refused = grants.filter(({ qos }) => qos === 128).map(({ topic }) => topic);
    if (refused.length > 0) log.error({ topics: refused }, "subscriptions refused");
    return refused.length === 0;
  } catch (error) {
    log.warn({ err: error }, "subscribing failed; it is done again with the next connection");
    return false;
  }
}

async function handle(deps: MqttLinkDeps, topic: string, bytes: Buffer | string): Promise<void> {
  const named = parseTopic(topic)?.name;
  const name = SUBSCRIPTIONS.find((subscribed) => subscribed === named);
  if (name === undefined) return;
  let payload: unknown;
  try {
    payload = parseJson(bytes.toString("utf8"));
  } catch (error) {
    deps.log.warn({ err: error, topic }, "a message is not JSON");
    return;
  }
  await deps.handlers[name](payload);
}

/** Gives messages that are under way a moment to be acknowledged before the DISCONNECT. */
async function endGently(client: MqttClient, pace: Pace): Promise<void> {
  const enough = new AbortController();
  await Promise.race([
    client.endAsync(false),
    pace.wait(STOP_GRACE_MS, enough.signal).catch(() => undefined),
  ]);
  enough.abort();
  client.stream.destroy();
}
