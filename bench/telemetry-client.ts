import type { TLSSocket } from "node:tls";
import { parseArgs } from "node:util";
import { pause } from "./until.ts";
import { vehicleSocket } from "./vehicle-socket.ts";

/**
 * Vehicles that publish telemetry, QoS 1, as fast as a window of unacknowledged messages lets them.
 * Speaks the three packets that this takes itself, as a full client would be the bottleneck.
 * Prints the messages acknowledged in the measured time, as a number a second.
 */
const { values, positionals: vehicles } = parseArgs({
  allowPositionals: true,
  options: {
    port: { type: "string", default: "" },
    ca: { type: "string", default: "" },
    certificates: { type: "string", default: "" },
    window: { type: "string", default: "100" },
    seconds: { type: "string", default: "5" },
  },
});

const WARM_UP_MS = 1500;
/** Payloads made beforehand for each vehicle; they are sent round and round. */
const PAYLOADS = 200;
const PUBACK = 0x40;
const PUBACK_LENGTH = 4;

let acknowledged = 0;

const sockets = await Promise.all(vehicles.map(connectVehicle));
for (const [index, socket] of sockets.entries()) publish(socket, vehicles[index] ?? "");
await pause(WARM_UP_MS);
const before = acknowledged;
const began = performance.now();
await pause(Number(values.seconds) * 1000);
process.stdout.write(`${((acknowledged - before) / (performance.now() - began)) * 1000}\n`, () =>
  process.exit(0),
);

/** MQTT 3.1.1 §3.1 and §3.2: CONNECT with a clean session, answered by CONNACK 0. */
async function connectVehicle(vin: string): Promise<TLSSocket> {
  const socket = await vehicleSocket(values, vin);
  const name = Buffer.from(vin);
  const protocol = Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 60, 0, name.length]);
  socket.write(Buffer.concat([Buffer.from([0x10, protocol.length + name.length]), protocol, name]));
  const answer = await new Promise<Buffer>((done) => socket.once("data", done));
  if (answer[0] !== 0x20 || answer[3] !== 0) throw new Error(`${vin} was refused`);
  socket.once("close", () => {
    process.stderr.write(`${vin}: connection closed\n`);
    process.exit(1);
  });
  return socket;
}

/** Fills the window, and again with as many as were acknowledged. */
function publish(socket: TLSSocket, vin: string): void {
  const packets = Array.from({ length: PAYLOADS }, (_, index) => publishPacket(vin, index));
  let sent = 0;
  const send = (count: number) => {
    const burst: Buffer[] = [];
    for (let i = 0; i < count; i++, sent++) {
      const { bytes, identifierAt } = packets[sent % PAYLOADS] ?? publishPacket(vin, sent);
      const packet = Buffer.from(bytes);
      packet.writeUInt16BE((sent % 0xffff) + 1, identifierAt);
      burst.push(packet);
    }
    socket.write(Buffer.concat(burst));
  };
  let rest = 0;
  let owed = 0;
  // One write for all acknowledgements of a turn, however many records they came in.
  const refill = () => {
    const count = owed;
    owed = 0;
    send(count);
  };
  socket.on("data", (chunk: Buffer) => {
    // Nothing but PUBACKs comes, all of one length: no need to look at each.
    if (rest === 0 && chunk[0] !== PUBACK) throw new Error(`${vin}: not a PUBACK`);
    rest += chunk.length;
    const count = Math.floor(rest / PUBACK_LENGTH);
    rest %= PUBACK_LENGTH;
    acknowledged += count;
    if (count === 0) return;
    if (owed === 0) setImmediate(refill);
    owed += count;
  });
  send(Number(values.window));
}

/** MQTT 3.1.1 §3.3: PUBLISH, QoS 1, with a packet identifier to fill in. */
function publishPacket(vin: string, index: number): { bytes: Buffer; identifierAt: number } {
  const topic = `vehicle/${vin}/telemetry`;
  const payload = sample(index);
  const length = 2 + topic.length + 2 + payload.length;
  // §2.2.3: the remaining length, here of two bytes.
  const header = [0x32, (length % 128) | 0x80, length >> 7, 0, topic.length];
  const bytes = Buffer.from(`${String.fromCharCode(...header)}${topic}\0\0${payload}`, "latin1");
  return { bytes, identifierAt: header.length + topic.length };
}

/** A parked vehicle: values that move a little, so that none of them is an anomaly. */
function sample(index: number): string {
  const wobble = (index * 7919) % 97;
  return JSON.stringify({
    ts: new Date(Date.UTC(2026, 0, 1) + index * 1000).toISOString(),
    battery_soc: 80 + wobble / 100,
    battery_voltage: 12 + wobble / 1000,
    speed: 50 + wobble / 50,
    temp: 20 + wobble / 40,
    odometer: 12_345 + wobble / 10,
    ignition: true,
  });
}
