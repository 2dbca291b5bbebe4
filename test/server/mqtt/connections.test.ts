import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { Type } from "typebox";
import { topicHandler } from "#server/mqtt/handler.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { startBroker, type OwnBroker } from "./own-broker.ts";
import {
  connectPacket,
  connectWire,
  openWire,
  packet,
  PERSISTENT,
  publishPacket,
  subscribePacket,
  text,
  type Wire,
} from "./wire.ts";

const PINGREQ = Buffer.of(0xc0, 0);
const PINGRESP = "d000";
const DISCONNECT = Buffer.of(0xe0, 0);

let broker: OwnBroker;
const { path, remove } = temporaryFolder();
/** Payloads that vehicles published on `diagnostics`. */
const published: { vin: string; note: string }[] = [];
/** Holds messages back until the test lets them go. */
let gate: Promise<void> | undefined;

beforeAll(async () => {
  broker = await startBroker(path, () => [
    topicHandler({
      topic: "diagnostics",
      schema: Type.Object({ note: Type.String() }),
      async handle(vin, { note }) {
        published.push({ vin, note });
        await gate;
      },
    }),
  ]);
});
afterAll(async () => {
  await broker.mqtt.close();
  remove();
});

let vin = "";
let vehicles = 0;
/** Each test has a vehicle of its own. */
beforeEach(() => {
  vin = `VMG-1${++vehicles}`;
  gate = undefined;
});

const topic = () => `vehicle/${vin}/diagnostics`;
const publish = (note: string, id = 7) => publishPacket(topic(), { note }, { qos: 1, id });
const notes = () => published.filter((each) => each.vin === vin).map(({ note }) => note);
const logged = (msg: string) =>
  broker.lines.filter((line) => String(line["msg"]).startsWith(msg) && line["vehicle"] === vin);

async function sample(metric: "mqttConnected" | "mqttRefused", reason?: string): Promise<number> {
  const { values } = await broker.metrics[metric].get();
  const wanted = values.find(({ labels }) => !reason || labels["reason"] === reason);
  return wanted?.value ?? 0;
}

async function end({ socket }: Wire): Promise<void> {
  socket.destroy();
  await vi.waitFor(() => expect(broker.mqtt.connection(vin)).toBeUndefined());
}

describe("connections of one vehicle (MQTT 3.1.1 §3.1.4)", () => {
  /** A persistent session with a subscription: to end it takes aedes a turn. */
  async function subscribed(): Promise<Wire> {
    const wire = await connectWire(broker, vin, { flags: PERSISTENT });
    wire.send(subscribePacket(1, `vehicle/${vin}/control`));
    expect(await wire.next()).toBe("9003000101");
    return wire;
  }

  it("end when a newer one comes, which is the one that is sent to", async () => {
    const first = await subscribed();
    const second = await connectWire(broker, vin, { flags: PERSISTENT });
    expect(await first.next()).toBe("closed");
    expect(broker.mqtt.send(vin, "control", {})).toBe("sent");
    expect(await second.next()).toMatch(/^32/);
    await end(second);
  });

  it("that come at once leave one, which is the one that is known and counted", async () => {
    const first = await subscribed();
    const others = await Promise.all([1, 2, 3, 4].map(() => openWire(broker, vin)));
    for (const wire of others) wire.send(connectPacket(vin, { flags: PERSISTENT }));
    const left = await lastOpen([first, ...others]);
    expect(await left.next()).toBe("20020100");
    expect(broker.mqtt.send(vin, "control", {})).toBe("sent");
    expect(await left.next()).toMatch(/^32/);
    expect(await sample("mqttConnected")).toBe(1);
    await end(left);
    expect(await sample("mqttConnected")).toBe(0);
  });

  /** Waits until all the others are closed. */
  async function lastOpen(wires: Wire[]): Promise<Wire> {
    let open = wires.length;
    await new Promise<void>((done) => {
      for (const wire of wires) void wire.closed.finally(() => --open === 1 && done());
    });
    const [left] = wires.filter(({ socket }) => !socket.destroyed);
    if (left === undefined) throw new Error("all were closed");
    return left;
  }

  it("that are cut while they take over leave nothing behind", async () => {
    const handshakes = () => logged("TLS handshake successful").length;
    for (let turns = 0; turns < 12; turns++) {
      await subscribed();
      const before = handshakes();
      const cut = await openWire(broker, vin);
      await vi.waitFor(() => expect(handshakes()).toBe(before + 1), { interval: 1 });
      cut.send(connectPacket(vin, { flags: PERSISTENT }));
      for (let i = 0; i < turns; i++) await new Promise((turn) => setImmediate(turn));
      cut.socket.destroy();
    }
    const last = await subscribed();
    expect(broker.mqtt.send(vin, "control", {})).toBe("sent");
    expect(await sample("mqttConnected")).toBe(1);
    await end(last);
    expect(await sample("mqttConnected")).toBe(0);
  });
});

describe("a connection", () => {
  it("ends with a second CONNECT (§3.1.0-2)", async () => {
    const wire = await connectWire(broker, vin);
    wire.send(connectPacket(vin), PINGREQ);
    expect(await wire.next()).toBe("closed");
    expect(logged("[MQTT] Connection closed")).toMatchObject([{ err: "Invalid protocol" }]);
    const both = await openWire(broker, vin);
    both.send(connectPacket(vin), connectPacket(vin));
    expect(await both.next()).toBe("20020000");
    expect(await both.next()).toBe("closed");
  });

  it.each([
    ["PUBLISH", () => publish("early")],
    ["SUBSCRIBE", () => subscribePacket(1, topic())],
    ["PINGREQ", () => PINGREQ],
    ["DISCONNECT", () => DISCONNECT],
  ])("ends with a %s before its CONNECT (§3.1.0-1)", async (_, first) => {
    const wire = await openWire(broker, vin);
    wire.send(first(), connectPacket(vin));
    expect(await wire.next()).toBe("closed");
    expect(notes()).toEqual([]);
  });

  it("has what came right behind its CONNECT handled when that is accepted, and not before", async () => {
    const wire = await openWire(broker, vin);
    wire.send(connectPacket(vin), publish("at once"));
    expect([await wire.next(), await wire.next()]).toEqual(["20020000", "40020007"]);
    expect(notes()).toEqual(["at once"]);
    const stranger = await openWire(broker, "VMG-STRANGER");
    stranger.send(connectPacket(vin), publish("by another"));
    expect([await stranger.next(), await stranger.next()]).toEqual(["20020002", "closed"]);
    expect(notes()).toEqual(["at once"]);
    await end(wire);
  });

  it.each([
    ["clean", 2],
    ["persistent", PERSISTENT],
  ])("needs a client id, also for a %s session (§3.1.3-8, -9)", async (_, flags) => {
    const before = await sample("mqttRefused", "MQTT_CLIENT_ID_MISMATCH");
    const wire = await openWire(broker, vin);
    wire.send(connectPacket("", { flags }));
    expect([await wire.next(), await wire.next()]).toEqual(["20020002", "closed"]);
    expect(await sample("mqttRefused", "MQTT_CLIENT_ID_MISMATCH")).toBe(before + 1);
  });

  it("that is cut leaves one line in the log, however much was under way", async () => {
    let release = () => {};
    gate = new Promise((done) => {
      release = done;
    });
    const wire = await connectWire(broker, vin);
    for (let id = 1; id <= 50; id++) wire.send(publish("held", id));
    await vi.waitFor(() => expect(notes()).toHaveLength(50));
    await end(wire);
    release();
    await vi.waitFor(() => expect(broker.state.inFlight().mqtt).toBe(0));
    await new Promise((turn) => setImmediate(turn));
    await new Promise((turn) => setImmediate(turn));
    expect(logged("[MQTT] Vehicle disconnected")).toHaveLength(1);
    expect(logged("[MQTT] Connection closed")).toEqual([]);
  });
});

describe("a protocol violation (§4.8) closes the connection:", () => {
  const will = (qos: number) => ({ flags: 6 | (qos << 3), rest: [text(topic()), text("{}")] });

  it.each([
    ["a will of QoS 3", () => will(3), "will QoS 3"],
    ["a password without a user name", () => ({ flags: 0x42, rest: [text("p")] }), "password"],
  ])("%s", async (_, options, reason) => {
    const before = await sample("mqttRefused", "MQTT_CONNECT_REFUSED");
    const wire = await openWire(broker, vin);
    wire.send(connectPacket(vin, options()));
    expect(await wire.next()).toBe("closed");
    expect(await sample("mqttRefused", "MQTT_CONNECT_REFUSED")).toBe(before + 1);
    expect(broker.lines.at(-1)?.["err"]).toContain(reason);
  });

  it.each<[string, () => Buffer, string]>([
    ["PUBLISH of QoS 1 with id 0", () => publish("0", 0), "identifier 0"],
    [
      "PUBLISH of QoS 2 with id 0",
      () => publishPacket(topic(), {}, { qos: 2, id: 0 }),
      "identifier 0",
    ],
    ["PUBLISH of QoS 0 with DUP", () => packet(0x38, text(topic()), Buffer.from("{}")), "DUP"],
    ["PUBLISH to a filter", () => publishPacket(`${topic()}/#`, {}, { qos: 1, id: 1 }), "#"],
    ["PUBLISH to +", () => publishPacket(`vehicle/+/vci`, {}, { qos: 1, id: 1 }), "+"],
    ["PUBLISH to no topic", () => publishPacket("", {}, { qos: 1, id: 1 }), "empty topic"],
    ["SUBSCRIBE with id 0", () => subscribePacket(0, topic()), "identifier 0"],
    ["SUBSCRIBE without a filter", () => subscribePacket(1), "without filter"],
    ["SUBSCRIBE to a malformed filter", () => subscribePacket(1, `${topic()}/#/x`), "#"],
    ["UNSUBSCRIBE with id 0", () => packet(0xa2, Buffer.of(0, 0), text(topic())), "identifier 0"],
    ["UNSUBSCRIBE without a filter", () => packet(0xa2, Buffer.of(0, 1)), "without filter"],
  ])("%s", async (_, bytes, reason) => {
    const wire = await connectWire(broker, vin);
    wire.send(bytes(), PINGREQ);
    expect(await wire.next()).toBe("closed");
    const lines = logged("[MQTT] Connection closed");
    expect(lines).toHaveLength(1);
    expect(lines[0]?.["err"]).toContain(reason);
    expect(notes()).toEqual([]);
  });

  it("what they look like is no violation: ids, DUP, a will, a user name, an UNSUBSCRIBE", async () => {
    const rest = [...will(2).rest, text("user"), text("password")];
    const wire = await connectWire(broker, vin, { flags: will(2).flags | 0xc0, rest });
    wire.send(publishPacket(topic(), { note: "dup" }, { qos: 1, id: 65_535, dup: true }));
    expect(await wire.next()).toBe("4002ffff");
    wire.send(packet(0xa2, Buffer.of(0, 1), text(topic())));
    expect(await wire.next()).toBe("b0020001");
    await end(wire);
  });
});

describe("a will (§3.1.2.5)", () => {
  const withWill = (payload: string, of = topic()) =>
    connectWire(broker, vin, { flags: 6 | (1 << 3), rest: [text(of), text(payload)] });

  it("is taken as a message of the vehicle's when its connection is lost", async () => {
    const wire = await withWill('{"note":"lost"}');
    await end(wire);
    await vi.waitFor(() => expect(notes()).toEqual(["lost"]));
  });

  it("is taken when the gateway closes the connection, here for another of the vehicle's", async () => {
    await withWill('{"note":"taken over"}');
    const next = await connectWire(broker, vin);
    await vi.waitFor(() => expect(notes()).toEqual(["taken over"]));
    await end(next);
  });

  it("is dropped with a DISCONNECT", async () => {
    const wire = await withWill('{"note":"lost"}');
    wire.send(DISCONNECT);
    expect(await wire.next()).toBe("closed");
    await vi.waitFor(() => expect(logged("[MQTT] Vehicle disconnected")).toHaveLength(1));
    expect(notes()).toEqual([]);
  });

  it.each([
    ["another vehicle's topic", "vehicle/VMG-STRANGER/diagnostics", "MQTT_TOPIC_REFUSED"],
    ["a topic that goes down", "vehicle/{vin}/control", "MQTT_TOPIC_REFUSED"],
    ["a filter", "vehicle/{vin}/+", "MQTT_TOPIC_REFUSED"],
    ["no topic", "", "MQTT_TOPIC_REFUSED"],
    ["its own topic, with what does not fit", "vehicle/{vin}/diagnostics", "MQTT_PAYLOAD_INVALID"],
  ])("to %s is refused", async (_, of, reason) => {
    const before = await sample("mqttRefused", reason);
    await end(await withWill("{}", of.replace("{vin}", vin)));
    await vi.waitFor(async () => expect(await sample("mqttRefused", reason)).toBe(before + 1));
    expect(published.filter((each) => each.vin === "VMG-STRANGER")).toEqual([]);
    expect(notes()).toEqual([]);
  });
});

describe("a connection on which nothing is heard", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("is closed after 30 s without a CONNECT", async () => {
    const before = await sample("mqttRefused", "MQTT_CONNECT_REFUSED");
    const wire = await openWire(broker, vin);
    const other = await connectWire(broker, "VMG-OTHER", { keepAlive: 0 });
    vi.advanceTimersByTime(29_999);
    expect(wire.socket.destroyed).toBe(false);
    vi.advanceTimersByTime(1);
    expect(await wire.next()).toBe("closed");
    expect(await sample("mqttRefused", "MQTT_CONNECT_REFUSED")).toBe(before + 1);
    expect(broker.lines).toContainEqual(
      expect.objectContaining({
        code: "MQTT_CONNECT_REFUSED",
        err: "connect did not arrive in time",
      }),
    );
    await stillThere(other);
  });

  it("is closed after one and a half times its keep alive (§3.1.2.10)", async () => {
    const wire = await connectWire(broker, vin, { keepAlive: 10 });
    vi.advanceTimersByTime(14_999);
    await stillThere(wire);
    vi.advanceTimersByTime(14_999);
    wire.send(publish("still there"));
    expect(await wire.next()).toBe("40020007");
    vi.advanceTimersByTime(14_999);
    await stillThere(wire);
    vi.advanceTimersByTime(15_001);
    expect(await wire.next()).toBe("closed");
    expect(logged("[MQTT] Connection closed")).toMatchObject([{ err: "keep alive timeout" }]);
  });

  it("is kept without a keep alive", async () => {
    const wire = await connectWire(broker, vin, { keepAlive: 0 });
    vi.advanceTimersByTime(7 * 24 * 3_600_000);
    await stillThere(wire);
    expect(wire.socket.destroyed).toBe(false);
    wire.socket.destroy();
  });

  async function stillThere(wire: Wire): Promise<void> {
    wire.send(PINGREQ);
    expect(await wire.next()).toBe(PINGRESP);
  }
});
