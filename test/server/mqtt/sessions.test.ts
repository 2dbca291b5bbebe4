import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Type } from "typebox";
import { topicHandler } from "#server/mqtt/handler.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { metric } from "#test/server/metric.ts";
import { startBroker, type OwnBroker } from "./own-broker.ts";
import {
  connectPacket,
  connectWire,
  openWire,
  PERSISTENT,
  publishPacket,
  pubrelPacket,
  subscribePacket,
} from "./wire.ts";

const PUBREC_7 = "50020007";
const PUBCOMP_7 = "70020007";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());

let vin = "";
let vehicles = 0;
/** Each test has a vehicle of its own. */
beforeEach(async () => {
  vin = `VMG-1${++vehicles}`;
  const vehicle = await gateway.vehicle(vin);
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
});

/** A telemetry sample with message id 7 and QoS 2. */
const sample = (n: number, dup = false) =>
  publishPacket(
    `vehicle/${vin}/telemetry`,
    { ts: "2026-05-04T10:00:00Z", n },
    { qos: 2, id: 7, dup },
  );

/** What was stored, in the order in which it came. */
async function stored(): Promise<number[]> {
  const { json } = await gateway.admin.send("GET", `/api/v1/vehicles/${vin}/telemetry?limit=500`);
  return json.items.map(({ signals }: { signals: { n: number } }) => signals.n).reverse();
}

describe("a message of QoS 2 that is sent again before its PUBREL (MQTT 3.1.1 §4.3.3)", () => {
  it("is stored once, and each time answered by PUBREC", async () => {
    const wire = await connectWire(gateway, vin);
    wire.send(sample(1));
    expect(await wire.next()).toBe(PUBREC_7);
    expect(await stored()).toEqual([1]);
    wire.send(sample(1, true));
    expect(await wire.next()).toBe(PUBREC_7);
    wire.send(sample(1, true));
    expect(await wire.next()).toBe(PUBREC_7);
    wire.send(pubrelPacket(7));
    expect(await wire.next()).toBe(PUBCOMP_7);
    expect(await stored()).toEqual([1]);
    wire.socket.destroy();
  });

  it("is stored once when it comes again while it is being stored", async () => {
    const wire = await connectWire(gateway, vin);
    wire.send(sample(1), sample(1, true), sample(1, true));
    for (let i = 0; i < 3; i++) expect(await wire.next()).toBe(PUBREC_7);
    expect(await stored()).toEqual([1]);
    wire.socket.destroy();
  });

  it("is another message after its PUBREL, though it has the same id", async () => {
    const wire = await connectWire(gateway, vin);
    wire.send(sample(1));
    expect(await wire.next()).toBe(PUBREC_7);
    wire.send(pubrelPacket(7));
    expect(await wire.next()).toBe(PUBCOMP_7);
    wire.send(sample(2));
    expect(await wire.next()).toBe(PUBREC_7);
    // Both at once: the PUBREL is heeded first.
    wire.send(pubrelPacket(7), sample(3));
    expect([await wire.next(), await wire.next()].sort()).toEqual([PUBREC_7, PUBCOMP_7]);
    expect(await stored()).toEqual([1, 2, 3]);
    wire.socket.destroy();
  });

  it("is known when the vehicle comes back to its session, until the PUBREL", async () => {
    const first = await connectWire(gateway, vin, { flags: PERSISTENT });
    first.send(sample(1));
    expect(await first.next()).toBe(PUBREC_7);
    first.socket.destroy();
    const second = await connectWire(gateway, vin, { flags: PERSISTENT });
    second.send(sample(1, true));
    expect(await second.next()).toBe(PUBREC_7);
    second.socket.destroy();
    const third = await connectWire(gateway, vin, { flags: PERSISTENT });
    // A PUBREL is repeated too, when its PUBCOMP was not heard.
    for (let i = 0; i < 2; i++) {
      third.send(pubrelPacket(7));
      expect(await third.next()).toBe(PUBCOMP_7);
    }
    expect(await stored()).toEqual([1]);
    third.send(sample(2));
    expect(await third.next()).toBe(PUBREC_7);
    expect(await stored()).toEqual([1, 2]);
    third.socket.destroy();
  });

  it("is another message in a clean session, which knows nothing of those before", async () => {
    for (const n of [1, 2]) {
      const wire = await connectWire(gateway, vin);
      wire.send(sample(n));
      expect(await wire.next()).toBe(PUBREC_7);
      wire.socket.destroy();
    }
    expect(await stored()).toEqual([1, 2]);
  });

  it("is not forgotten when another vehicle tries to connect under the same id", async () => {
    const first = await connectWire(gateway, vin, { flags: PERSISTENT });
    first.send(sample(1));
    expect(await first.next()).toBe(PUBREC_7);
    first.socket.destroy();
    await first.closed;
    const stranger = await openWire(gateway, "VMG-STRANGER");
    stranger.send(connectPacket(vin));
    expect(await stranger.next()).toBe("20020002");
    expect(await stranger.next()).toBe("closed");
    const second = await connectWire(gateway, vin, { flags: PERSISTENT });
    second.send(sample(1, true));
    expect(await second.next()).toBe(PUBREC_7);
    expect(await stored()).toEqual([1]);
    second.socket.destroy();
  });

  it("is counted once when it is refused", async () => {
    const reason = { reason: "MQTT_PAYLOAD_INVALID" };
    const before = await metric(gateway, "mqtt_refused_total", reason);
    const wire = await connectWire(gateway, vin);
    const bad = publishPacket(`vehicle/${vin}/telemetry`, "{", { qos: 2, id: 7 });
    wire.send(bad, bad);
    expect([await wire.next(), await wire.next()]).toEqual([PUBREC_7, PUBREC_7]);
    expect(await metric(gateway, "mqtt_refused_total", reason)).toBe(before + 1);
    wire.socket.destroy();
  });

  it("may be one of a thousand, and no more", async () => {
    const wire = await connectWire(gateway, vin);
    const answers: string[] = [];
    for (let id = 1; id <= 1001; id++) {
      wire.send(publishPacket(`vehicle/${vin}/diagnostics`, {}, { qos: 2, id }));
      answers.push(await wire.next());
    }
    expect(answers.slice(-2)).toEqual(["500203e8", "closed"]);
  });
});

describe("a message of QoS 2 whose handling takes long", () => {
  let broker: OwnBroker;
  const { path, remove } = temporaryFolder();
  /** One for each time that the message was handled: ends it well or badly. */
  let handled: { well: () => void; badly: (error: Error) => void }[] = [];
  let begun = () => {};

  beforeAll(async () => {
    broker = await startBroker(path, () => [
      topicHandler({
        topic: "diagnostics",
        schema: Type.Object({}),
        handle: () =>
          new Promise<void>((well, badly) => {
            handled.push({ well, badly });
            begun();
          }),
      }),
    ]);
  });
  afterAll(async () => {
    for (const each of handled) each.well();
    await broker.mqtt.close();
    remove();
  });
  beforeEach(() => {
    handled = [];
  });

  const message = (dup = false) =>
    publishPacket(`vehicle/${vin}/diagnostics`, {}, { qos: 2, id: 7, dup });

  /** Sends the message, and loses the connection while it is being handled. */
  async function cutOff(flags: number): Promise<void> {
    const begins = new Promise<void>((done) => {
      begun = done;
    });
    const wire = await connectWire(broker, vin, { flags });
    wire.send(message());
    await begins;
    wire.socket.destroy();
    await wire.closed;
  }

  it("is handled once though it comes again on a new connection, and answered when that ends", async () => {
    await cutOff(PERSISTENT);
    const wire = await connectWire(broker, vin, { flags: PERSISTENT });
    wire.send(message(true), Buffer.of(0xc0, 0));
    // Its PUBREC would have come before this answer to a ping.
    expect(await wire.next()).toBe("d000");
    expect(handled).toHaveLength(1);
    handled[0]?.well();
    expect(await wire.next()).toBe(PUBREC_7);
    wire.send(pubrelPacket(7));
    expect(await wire.next()).toBe(PUBCOMP_7);
    expect(handled).toHaveLength(1);
    wire.socket.destroy();
  });

  it("has not come if that fails: the connection closes, and it is handled when it comes again", async () => {
    await cutOff(PERSISTENT);
    const wire = await connectWire(broker, vin, { flags: PERSISTENT });
    wire.send(message(true), Buffer.of(0xc0, 0));
    expect(await wire.next()).toBe("d000");
    handled[0]?.badly(new Error("database down"));
    expect(await wire.next()).toBe("closed");
    const again = await connectWire(broker, vin, { flags: PERSISTENT });
    const begins = new Promise<void>((done) => {
      begun = done;
    });
    again.send(message(true));
    await begins;
    handled[1]?.well();
    expect(await again.next()).toBe(PUBREC_7);
    again.socket.destroy();
  });

  it("does not leave its id behind when its clean session is over", async () => {
    await cutOff(2);
    const next = await connectWire(broker, vin);
    handled[0]?.well();
    const begins = new Promise<void>((done) => {
      begun = done;
    });
    next.send(message());
    await begins;
    handled[1]?.well();
    expect(await next.next()).toBe(PUBREC_7);
    next.socket.destroy();
  });
});

describe("a session (MQTT 3.1.1 §3.1.2.4)", () => {
  const connect = async (flags: number) => {
    const wire = await connectWire(gateway, vin, { flags });
    wire.socket.destroy();
    await wire.closed;
    return wire.sessionPresent;
  };

  it("is said to be present when there is one, with subscriptions or without", async () => {
    expect(await connect(PERSISTENT)).toBe(false);
    expect(await connect(PERSISTENT)).toBe(true);
    const wire = await connectWire(gateway, vin, { flags: PERSISTENT });
    wire.send(subscribePacket(1, `vehicle/${vin}/control`));
    expect(await wire.next()).toBe("9003000101");
    wire.socket.destroy();
    expect(await connect(PERSISTENT)).toBe(true);
  });

  it("is ended by a clean one, which leaves none behind", async () => {
    expect(await connect(PERSISTENT)).toBe(false);
    expect(await connect(2)).toBe(false);
    expect(await connect(PERSISTENT)).toBe(false);
  });

  it("keeps of its filters those that were granted", async () => {
    const refused = () =>
      metric(gateway, "mqtt_refused_total", { reason: "MQTT_SUBSCRIPTION_REFUSED" });
    const before = await refused();
    const wire = await connectWire(gateway, vin, { flags: PERSISTENT });
    wire.send(subscribePacket(1, "vehicle/#", `vehicle/${vin}/control`, "#"));
    expect(await wire.next()).toBe("90050001800180");
    wire.socket.destroy();
    expect(await connect(PERSISTENT)).toBe(true);
    expect(await refused()).toBe(before + 2);
  });
});
