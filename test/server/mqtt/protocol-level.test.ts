import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { metric } from "#test/server/metric.ts";
import { connectPacket, connectWire, openWire, packet, text } from "./wire.ts";

const vin = "VMG-001";
let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());

const refusals = () => metric(gateway, "mqtt_refused_total", { reason: "MQTT_CONNECT_REFUSED" });

/** MQTT 5 §3.1: as in 3.1.1, with properties behind the keep alive. */
const connectPacket5 = packet(
  0x10,
  text("MQTT"),
  Buffer.of(5, 2, 0, 60),
  Buffer.of(5, 0x11, 0, 0, 0, 60),
  text(vin),
);

describe("a CONNECT of another protocol level", () => {
  it.each([
    ["MQTT", 0, "20020001"],
    ["MQTT", 2, "20020001"],
    ["MQTT", 3, "20020001"],
    ["MQTT", 5, "2003008400"],
    ["MQTT", 6, "20020001"],
    ["MQTT", 0x84, "20020001"],
    ["MQTT", 0xff, "20020001"],
    ["MQIsdp", 2, "20020001"],
    ["MQIsdp", 4, "20020001"],
    ["MQIsdp", 0x83, "20020001"],
  ])("%s %i gets CONNACK %s and is closed, counted and logged", async (name, level, connack) => {
    const before = await refusals();
    const mark = gateway.log.length;
    const wire = await openWire(gateway, vin);
    wire.send(level === 5 ? connectPacket5 : connectPacket(vin, { name, level }));
    expect(await wire.next()).toBe(connack);
    expect(await wire.next()).toBe("closed");
    expect(await refusals()).toBe(before + 1);
    const lines = gateway.log.slice(mark).filter(({ code }) => code === "MQTT_CONNECT_REFUSED");
    expect(lines).toMatchObject([{ err: `${name} of level ${level} is not spoken here` }]);
    expect(lines[0]?.["remote"]).toMatch(/127\.0\.0\.1|::1/);
  });

  it("is answered once, whatever comes behind it", async () => {
    const wire = await openWire(gateway, vin);
    const other = connectPacket(vin, { level: 6 });
    wire.send(other, other, connectPacket(vin), Buffer.of(0xc0, 0));
    expect(await wire.next()).toBe("20020001");
    expect(await wire.next()).toBe("closed");
  });

  it("is answered when it comes byte by byte", async () => {
    const wire = await openWire(gateway, vin);
    for (const byte of connectPacket(vin, { level: 6 })) {
      wire.send(Buffer.of(byte));
      await new Promise((turn) => setImmediate(turn));
    }
    expect(await wire.next()).toBe("20020001");
    expect(await wire.next()).toBe("closed");
  });

  it("is told to an MQTT 5 client in words that it understands", async () => {
    const error = await gateway.mqttRefusal(vin, { protocolVersion: 5 });
    expect(error).toMatchObject({ code: 0x84 });
  });

  it("does not cut off the vehicle that is connected under that id", async () => {
    const connected = await connectWire(gateway, vin);
    const wire = await openWire(gateway, vin);
    wire.send(connectPacket(vin, { level: 6 }));
    await wire.closed;
    connected.send(Buffer.of(0xc0, 0));
    expect(await connected.next()).toBe("d000");
    connected.socket.destroy();
  });

  it("as a second CONNECT is closed like any other", async () => {
    const wire = await connectWire(gateway, vin);
    wire.send(connectPacket(vin, { level: 6 }));
    expect(await wire.next()).toBe("closed");
  });
});

describe("a CONNECT of another protocol", () => {
  it.each(["MQTX", "mqtt", "MQT", "MQTTT", "", "M".repeat(300)])(
    "name %j is closed without an answer, and counted",
    async (name) => {
      const before = await refusals();
      const wire = await openWire(gateway, vin);
      wire.send(connectPacket(vin, { name, level: 6 }));
      expect(await wire.next()).toBe("closed");
      expect(await refusals()).toBe(before + 1);
    },
  );

  it("that ends before its level is closed without an answer", async () => {
    const wire = await openWire(gateway, vin);
    // The level that the next packet's bytes would give must not count.
    wire.send(packet(0x10, text("MQTT")), Buffer.of(6, 0));
    expect(await wire.next()).toBe("closed");
  });
});

describe("MQTT 3.1", () => {
  it("is spoken too: MQIsdp of level 3", async () => {
    const wire = await connectWire(gateway, vin, { name: "MQIsdp", level: 3 });
    const body = JSON.stringify({ ts: new Date().toISOString(), state: "idle" });
    wire.send(packet(0x32, text(`vehicle/${vin}/heartbeat`), Buffer.of(0, 7), Buffer.from(body)));
    expect(await wire.next()).toBe("40020007");
    wire.socket.destroy();
  });
});
