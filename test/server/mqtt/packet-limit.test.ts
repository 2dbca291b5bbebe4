import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { issueVehicleCertificate, loadVehicleIdentity } from "#crypto/pki.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { logged, openSocket, tlsAs } from "#test/server/raw-client.ts";

const LIMIT = 4096;
let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({ mqtt: { payload_limit: LIMIT } });
});
afterAll(() => gateway.close());

async function open(vin: string): Promise<TLSSocket> {
  await issueVehicleCertificate(gateway.config.certs_dir, { vehicleId: vin });
  const identity = await loadVehicleIdentity(gateway.config.certs_dir, vin);
  return openSocket(gateway, "mqtt", await tlsAs(gateway, identity));
}

/** A connection that the gateway has acknowledged. */
async function connect(vin: string): Promise<TLSSocket> {
  const socket = await open(vin);
  socket.write(connectPacket(vin));
  await new Promise((connack) => socket.once("data", connack));
  return socket;
}

const ended = (socket: TLSSocket) =>
  new Promise<void>((done) => {
    socket.once("close", () => done());
    socket.resume();
  });

/** The first byte of a PUBLISH and a remaining length (MQTT 3.1.1 §2.2.3). */
function announce(length: number): Buffer {
  const bytes = [0x32];
  for (let rest = length; ; rest = Math.floor(rest / 128)) {
    bytes.push((rest % 128) + (rest >= 128 ? 128 : 0));
    if (rest < 128) return Buffer.from(bytes);
  }
}

/** A string as MQTT 3.1.1 §1.5.3 writes it. */
function text(value: string): Buffer {
  return Buffer.concat([Buffer.of(0, value.length), Buffer.from(value)]);
}

/** MQTT 3.1.1 §3.1: clean session, a keep-alive of 60 s. */
function connectPacket(clientId: string): Buffer {
  const body = Buffer.concat([text("MQTT"), Buffer.of(4, 2, 0, 60), text(clientId)]);
  return Buffer.concat([Buffer.of(0x10, body.length), body]);
}

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
    socket.write(Buffer.concat([Buffer.of(0x10), announce(200_000_000).subarray(1)]));
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
    const body = [text("vehicle/VMG-005/heartbeat"), Buffer.of(0, 7), Buffer.from(payload)];
    const good = Buffer.concat([announce(Buffer.concat(body).length), ...body]);
    socket.write(good);
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
