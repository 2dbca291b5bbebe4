import { join } from "node:path";
import { createServer } from "node:tls";
import type { AddressInfo } from "node:net";
import { Aedes, type Client } from "aedes";
import pino from "pino";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { testFolder } from "#test/helpers/folder.ts";
import { connectMqtt, type MqttLink, type MqttLinkDeps } from "#vmg-sim/vmg/mqtt-link.ts";
import { openOutbox, type Outbox } from "#vmg-sim/vmg/outbox.ts";
import { systemPace } from "#vmg-sim/vmg/pace.ts";
import { testPki, type TestPki } from "./test-pki.ts";

let pki: TestPki;
beforeAll(async () => {
  pki = await testPki("VMG-001");
});
afterAll(() => pki.remove());

interface Broker {
  port: number;
  received: { topic: string; payload: unknown }[];
  send(topic: string, payload: string | object): Promise<void>;
  /** Resolves when so many messages of vehicles have come. */
  heard(count: number): Promise<void>;
  /** While it is set, nothing is acknowledged. */
  holdAcks(hold: boolean): void;
  dropAll(): void;
  stop(): Promise<void>;
}

/** A bare MQTT broker over TLS. */
async function broker(aedes?: Aedes, port = 0): Promise<Broker & { aedes: Aedes }> {
  const own = aedes ?? (await Aedes.createBroker({ concurrency: 0 }));
  const received: Broker["received"] = [];
  const waiting: (() => void)[] = [];
  let holding = false;
  own.authorizePublish = (client: Client | null, packet, done) => {
    if (client && !holding) {
      received.push({ topic: packet.topic, payload: JSON.parse(packet.payload.toString()) });
      for (const wake of waiting.splice(0)) wake();
    }
    if (!client || !holding) done(null);
  };
  const sockets = new Set<{ destroy(): void }>();
  const server = createServer(pki.server, (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    own.handle(socket);
  });
  await new Promise<void>((resolve) => server.listen(port, "localhost", resolve));
  const dropAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    aedes: own,
    port: (server.address() as AddressInfo).port,
    received,
    send: (topic, payload) =>
      new Promise((resolve, reject) => {
        const text = typeof payload === "string" ? payload : JSON.stringify(payload);
        const packet = { cmd: "publish", topic, payload: text, qos: 1, dup: false, retain: false };
        own.publish(packet as Parameters<Aedes["publish"]>[0], (error) =>
          error ? reject(error) : resolve(),
        );
      }),
    async heard(count) {
      while (received.length < count) await new Promise<void>((resolve) => waiting.push(resolve));
    },
    holdAcks(hold) {
      holding = hold;
    },
    dropAll,
    async stop() {
      dropAll();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function startBroker() {
  const started = await broker();
  onTestFinished(async () => {
    await started.stop();
    await new Promise<void>((resolve) => started.aedes.close(() => resolve()));
  });
  return started;
}

const quiet: MqttLinkDeps["handlers"] = {
  control: () => {},
  diagnostics: () => {},
  "diagnostics/control": () => {},
  config: () => {},
};

function link(port: number, outbox: Outbox, change: Partial<MqttLinkDeps> = {}): MqttLink {
  const made = connectMqtt({
    url: `mqtts://localhost:${port}`,
    vin: "VMG-001",
    tls: pki.vehicle,
    backoff: { backoff_ms: 10, max_backoff_ms: 50 },
    pace: systemPace,
    outbox,
    log: pino({ level: "silent" }),
    onConnected: () => {},
    onDisconnected: () => {},
    handlers: quiet,
    ...change,
  });
  onTestFinished(() => made.stop());
  return made;
}

const newOutbox = () => openOutbox(join(testFolder(), "outbox.jsonl"));
const topic = (name: string) => `vehicle/VMG-001/${name}`;

describe("MQTT link", () => {
  it("says once that a gateway does not let it in, as with a revoked certificate", async () => {
    const lines: { level: number; msg: string }[] = [];
    const record = { write: (line: string) => void lines.push(JSON.parse(line)) };
    const tries = Promise.withResolvers<void>();
    let count = 0;
    const server = createServer(pki.server, (socket) => {
      socket.on("error", () => {}).end();
      if (++count === 3) tries.resolve();
    });
    await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    link(port, await newOutbox(), { log: pino({ level: "warn" }, record) });
    await tries.promise;
    expect(lines).toHaveLength(1);
    expect(lines[0]?.msg).toMatch(/the gateway closes it at once.* revoked certificate/);
  });

  it("subscribes, and hands each kind of message to its own handler", async () => {
    const at = await startBroker();
    const seen: [string, unknown][] = [];
    const all = Promise.withResolvers<void>();
    const note = (kind: string) => (payload: unknown) => {
      seen.push([kind, payload]);
      if (seen.length === 4) all.resolve();
    };
    const up = link(at.port, await newOutbox(), {
      handlers: {
        control: note("control"),
        diagnostics: note("diagnostics"),
        "diagnostics/control": note("diagnostics/control"),
        config: note("config"),
      },
    });
    await up.ready;
    await at.send(topic("control"), "this is not JSON");
    await at.send(topic("control"), { a: 1 });
    await at.send(topic("diagnostics"), { b: 2 });
    await at.send(topic("diagnostics/control"), { d: 4 });
    await at.send(topic("config"), { c: 3 });
    await all.promise;
    expect(seen).toEqual([
      ["control", { a: 1 }],
      ["diagnostics", { b: 2 }],
      ["diagnostics/control", { d: 4 }],
      ["config", { c: 3 }],
    ]);
  });

  it("acknowledges a message when its handler is done, and has it sent again otherwise", async () => {
    const at = await startBroker();
    let count = 0;
    const taken = Promise.withResolvers<void>();
    const control = async () => {
      count++;
      if (count === 1) {
        at.dropAll();
        throw new Error("the disk is full");
      }
      taken.resolve();
    };
    const handlers = { ...quiet, control };
    const up = link(at.port, await newOutbox(), { handlers });
    await up.ready;
    await at.send(topic("control"), { a: 1 });
    await taken.promise;
    expect(count).toBe(2);
  });

  it("delivers in order, and waits for room rather than drop anything", async () => {
    const at = await startBroker();
    const up = link(at.port, await newOutbox());
    const seqs = Array.from({ length: 400 }, (_, seq) => seq);
    // More than may wait for their acknowledgement, before there is a connection at all.
    const sent = seqs.map((seq) => up.deliver("diagnostics/events", { seq }));
    expect(up.publish("telemetry", {})).toBe(false);
    await Promise.all(sent);
    expect(at.received).toEqual(
      seqs.map((seq) => ({ topic: topic("diagnostics/events"), payload: { seq } })),
    );
    await up.stop();
    await expect(up.deliver("diagnostics/events", {})).rejects.toThrow("aborted");
  });

  it("sends what is in the outbox in order, and takes it out once it is acknowledged", async () => {
    const at = await startBroker();
    const outbox = await newOutbox();
    for (let n = 0; n < 5; n++) await outbox.put(topic("ota/status"), JSON.stringify({ n }));
    const up = link(at.port, outbox);
    await at.heard(5);
    await outbox.put(topic("ota/status"), JSON.stringify({ n: 5 }));
    await at.heard(6);
    expect(at.received.map(({ payload }) => payload)).toEqual(
      [0, 1, 2, 3, 4, 5].map((n) => ({ n })),
    );
    await up.stop();
    expect(outbox.size).toBe(0);
  });

  it("keeps in the outbox over a restart what was never acknowledged", async () => {
    const at = await startBroker();
    const file = join(testFolder(), "outbox.jsonl");
    const first = await openOutbox(file);
    const up = link(at.port, first);
    await up.ready;
    at.holdAcks(true);
    await first.put(topic("ota/status"), JSON.stringify({ n: 1 }));
    await up.stop();
    at.holdAcks(false);
    link(at.port, await openOutbox(file));
    await at.heard(1);
    expect(at.received).toEqual([{ topic: topic("ota/status"), payload: { n: 1 } }]);
  });

  it("connects again after the gateway was away, and sends what came up meanwhile", async () => {
    const at = await startBroker();
    const outbox = await newOutbox();
    const away = Promise.withResolvers<void>();
    const back = Promise.withResolvers<void>();
    let connections = 0;
    const up = link(at.port, outbox, {
      onConnected: () => void (++connections === 2 && back.resolve()),
      onDisconnected: () => away.resolve(),
    });
    await up.ready;
    await at.stop();
    await away.promise;
    expect(up.connected).toBe(false);
    await outbox.put(topic("ota/status"), JSON.stringify({ n: 1 }));
    expect(up.publish("heartbeat", { beat: 1 })).toBe(true);
    const again = await broker(at.aedes, at.port);
    onTestFinished(() => again.stop());
    await again.heard(2);
    await back.promise;
    expect(again.received.map(({ payload }) => payload)).toEqual(
      expect.arrayContaining([{ n: 1 }, { beat: 1 }]),
    );
  });

  it("drops what is not to be kept when too much of it waits", async () => {
    const up = link(1, await newOutbox());
    const taken = Array.from({ length: 300 }, (_, n) => up.publish("telemetry", { n }));
    expect(taken.filter(Boolean)).toHaveLength(256);
  });

  it("stops at once while nobody is there", async () => {
    const outbox = await newOutbox();
    const up = link(1, outbox);
    await up.stop();
    expect(up.publish("heartbeat", {})).toBe(false);
    await expect(outbox.put("t", "x")).rejects.toThrow("closed");
  });
});
