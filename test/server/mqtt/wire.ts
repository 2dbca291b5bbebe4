import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";
import { issueVehicleCertificate, loadVehicleIdentity, serverCa } from "#crypto/pki.ts";
import { clientTlsOptions } from "#crypto/tls.ts";
import type { TestGateway } from "#test/helpers/gateway.ts";
import type { OwnBroker } from "./own-broker.ts";

/** A connection on which a test writes what it likes, and reads packet by packet. */
export interface Wire {
  socket: TLSSocket;
  send(...packets: Buffer[]): void;
  /** The next packet in hexadecimal digits, "closed" when none comes any more. */
  next(): Promise<string>;
  /** Ends when the connection does. */
  closed: Promise<void>;
}

/** Where to connect to. */
type Place = TestGateway | OwnBroker;

/** A TLS connection with this vehicle's certificate, without a CONNECT yet. */
export async function openWire(place: Place, vin: string): Promise<Wire> {
  const [port, certsDir] =
    "app" in place ? [place.app.ports.mqtt, place.config.certs_dir] : [place.port, place.certsDir];
  await issueVehicleCertificate(certsDir, { vehicleId: vin });
  const identity = await loadVehicleIdentity(certsDir, vin);
  const tls = clientTlsOptions({ profile: 2, identity, ca: await serverCa(certsDir) });
  const socket = connect({ host: "localhost", port, servername: "localhost", ...tls });
  await once(socket, "secureConnect");
  socket.on("error", () => {});
  return wireOn(socket);
}

/** A connection that the gateway has accepted, with what it says of the session. */
export async function connectWire(
  place: Place,
  vin: string,
  options: ConnectOptions = {},
): Promise<Wire & { sessionPresent: boolean }> {
  const wire = await openWire(place, vin);
  wire.send(connectPacket(vin, options));
  const connack = await wire.next();
  if (!/^20020[01]00$/.test(connack)) throw new Error(`CONNACK is ${connack}`);
  return { ...wire, sessionPresent: connack === "20020100" };
}

function wireOn(socket: TLSSocket): Wire {
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

/** A CONNECT's flags for a persistent session. */
export const PERSISTENT = 0;

/** A PUBLISH with QoS 1 or 2 (MQTT 3.1.1 §3.3). */
export function publishPacket(
  topic: string,
  payload: unknown,
  { qos, id, dup = false }: { qos: 1 | 2; id: number; dup?: boolean },
): Buffer {
  const bytes = Buffer.from(typeof payload === "string" ? payload : JSON.stringify(payload));
  const type = 0x30 | (dup ? 8 : 0) | (qos << 1);
  return packet(type, text(topic), Buffer.of(id >> 8, id & 0xff), bytes);
}

export const pubrelPacket = (id: number) => packet(0x62, Buffer.of(id >> 8, id & 0xff));

/** A SUBSCRIBE with QoS 1 (MQTT 3.1.1 §3.8). */
export function subscribePacket(id: number, ...filters: string[]): Buffer {
  const wanted = filters.flatMap((filter) => [text(filter), Buffer.of(1)]);
  return packet(0x82, Buffer.of(id >> 8, id & 0xff), ...wanted);
}
