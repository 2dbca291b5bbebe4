import type { TLSSocket } from "node:tls";
import { issueVehicleCertificate, loadVehicleIdentity } from "#crypto/pki.ts";
import type { TestGateway } from "#test/helpers/gateway.ts";
import { openSocket, tlsAs } from "#test/server/raw-client.ts";

/** A connection on which a test writes what it likes, and reads packet by packet. */
export interface Wire {
  socket: TLSSocket;
  send(...packets: Buffer[]): void;
  /** The next packet in hexadecimal digits, "closed" when none comes any more. */
  next(): Promise<string>;
  /** Ends when the connection does. */
  closed: Promise<void>;
}

/** A TLS connection with this vehicle's certificate, without a CONNECT yet. */
export async function openWire(gateway: TestGateway, vin: string): Promise<Wire> {
  await issueVehicleCertificate(gateway.config.certs_dir, { vehicleId: vin });
  const identity = await loadVehicleIdentity(gateway.config.certs_dir, vin);
  return wireOn(await openSocket(gateway, "mqtt", await tlsAs(gateway, identity)));
}

/** A connection that the gateway has accepted. */
export async function connectWire(
  gateway: TestGateway,
  vin: string,
  options: ConnectOptions = {},
): Promise<Wire> {
  const wire = await openWire(gateway, vin);
  wire.send(connectPacket(vin, options));
  const connack = await wire.next();
  if (!/^20020[01]00$/.test(connack)) throw new Error(`CONNACK is ${connack}`);
  return wire;
}

export function wireOn(socket: TLSSocket): Wire {
  let received = Buffer.alloc(0);
  let open = true;
  let wake = () => {};
  socket.on("data", (bytes: Buffer) => {
    received = Buffer.concat([received, bytes]);
    wake();
  });
  const closed = new Promise<void>((done) => {
    socket.once("close", () => {
      open = false;
      wake();
      done();
    });
  });
  return {
    socket,
    closed,
    send: (...packets) => void socket.write(Buffer.concat(packets)),
    async next() {
      for (;;) {
        // What the gateway sends in these tests is never longer than one byte can tell.
        const end = received.length > 1 ? 2 + (received[1] ?? 0) : Infinity;
        if (received.length >= end) {
          const packet = received.subarray(0, end).toString("hex");
          received = received.subarray(end);
          return packet;
        }
        if (!open) return "closed";
        await new Promise<void>((more) => {
          wake = more;
        });
      }
    },
  };
}

/** A string as MQTT 3.1.1 §1.5.3 writes it. */
export function text(value: string): Buffer {
  return Buffer.concat([Buffer.of(value.length >> 8, value.length & 0xff), Buffer.from(value)]);
}

/** The first byte of a packet and a remaining length (MQTT 3.1.1 §2.2). */
export function fixedHeader(type: number, length: number): Buffer {
  const bytes = [type];
  for (let rest = length; ; rest = Math.floor(rest / 128)) {
    bytes.push((rest % 128) + (rest >= 128 ? 128 : 0));
    if (rest < 128) return Buffer.from(bytes);
  }
}

export function packet(type: number, ...body: Buffer[]): Buffer {
  const rest = Buffer.concat(body);
  return Buffer.concat([fixedHeader(type, rest.length), rest]);
}

export interface ConnectOptions {
  name?: string;
  level?: number;
  /** MQTT 3.1.1 §3.1.2.3; a clean session by default, which is bit 1. */
  flags?: number;
  /** Seconds. */
  keepAlive?: number;
  /** Behind the client id: the will, the user name, the password. */
  rest?: Buffer[];
}

/** MQTT 3.1.1 §3.1. */
export function connectPacket(
  clientId: string,
  { name = "MQTT", level = 4, flags = 2, keepAlive = 60, rest = [] }: ConnectOptions = {},
): Buffer {
  const head = Buffer.of(level, flags, keepAlive >> 8, keepAlive & 0xff);
  return packet(0x10, text(name), head, text(clientId), ...rest);
}
