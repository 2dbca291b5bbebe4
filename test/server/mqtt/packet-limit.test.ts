import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { logged } from "#test/server/raw-client.ts";
import { connectWire, fixedHeader, openWire, packet, text } from "./wire.ts";

const LIMIT = 4096;
let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({ mqtt: { payload_limit: LIMIT } });
});
afterAll(() => gateway.close());

/** A connection that the gateway has acknowledged. */
async function connect(vin: string): Promise<TLSSocket> {
  const { socket } = await connectWire(gateway, vin);
  return socket;
}

async function open(vin: string): Promise<TLSSocket> {
  const { socket } = await openWire(gateway, vin);
  return socket;
}

const ended = (socket: TLSSocket) =>
  new Promise<void>((done) => socket.once("close", () => done()));

/** A PUBLISH of QoS 1 up to its remaining length. */
const announce = (length: number) => fixedHeader(0x32, length);

async function isAlive(socket: TLSSocket): Promise<boolean> {
  const pong = new Promise<boolean>((done) => {
    socket.once("data", (data: Buffer) => done(data[0] === 0xd0));
    socket.once("close", () => done(false));
  });
  socket.write(Buffer.of(0xc0, 0));
  return pong;
}

describe("a packet that announces more than is allowed", () => {
  it.each([LIMIT + 1025, 1_000_000, 268_435_455])(
    "%i bytes: its connection is closed at once, no other",
    async (length) => {
      const other = await connect("VMG-002");
      const socket = await connect("VMG-001");
      const gone = ended(socket);
      // Only the announcement is sent: who waits for the rest would wait for ever.
      socket.write(announce(length));
      await gone;
      await logged(gateway, ({ err }) => String(err).includes(`packet of ${length} bytes`));
      expect(await isAlive(other)).toBe(true);
      other.destroy();
    },
  );

  it("is refused before the vehicle has said who it is", async () => {
    const socket = await open("VMG-003");
    const gone = ended(socket);
    socket.write(fixedHeader(0x10, 200_000_000));
    await gone;
    expect(socket.destroyed).toBe(true);
  });

  it("is refused when the announcement comes byte by byte", async () => {
    const socket = await connect("VMG-004");
    const gone = ended(socket);
    for (const byte of announce(1_000_000)) {
      socket.write(Buffer.of(byte));
      await new Promise((turn) => setImmediate(turn));
    }
    await gone;
    expect(socket.destroyed).toBe(true);
  });

  it("is refused behind good ones, which are still taken", async () => {
    const socket = await connect("VMG-005");
    const acknowledged = new Promise<number>((done) => {
      socket.once("data", (data: Buffer) => done(data[0] ?? 0));
    });
    const payload = JSON.stringify({ ts: new Date().toISOString(), state: "idle" });
    const topic = text("vehicle/VMG-005/heartbeat");
    socket.write(packet(0x32, topic, Buffer.of(0, 7), Buffer.from(payload)));
    expect(await acknowledged).toBe(0x40);
    const gone = ended(socket);
    socket.write(announce(1_000_000));
    await gone;
    expect(socket.destroyed).toBe(true);
  });

  it("is refused when its length is none: five bytes and more to come", async () => {
    const socket = await connect("VMG-006");
    const gone = ended(socket);
    socket.write(Buffer.of(0x32, 0xff, 0xff, 0xff, 0xff, 0xff));
    await gone;
    expect(socket.destroyed).toBe(true);
  });
});

describe("what is no MQTT", () => {
  it.each([
    ["a packet type that is none", Buffer.of(0x00, 0x00)],
    ["a publish before the connect", Buffer.concat([announce(5), Buffer.from("\0\x01a\0\x01")])],
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\nhost: a\r\n\r\n")],
    ["a connect that is cut in its fields", Buffer.of(0x10, 0x02, 0x00, 0x04)],
  ])("%s closes the connection", async (_, bytes) => {
    const socket = await open("VMG-007");
    const gone = ended(socket);
    socket.write(bytes);
    await gone;
    expect(socket.destroyed).toBe(true);
  });
});
