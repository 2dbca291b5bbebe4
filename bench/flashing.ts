import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { loadVehicleConfig } from "#config/vehicle.ts";
import { hmacKey } from "#protocol/uds/security-key.ts";
import { flashEcu } from "#vmg-sim/vmg/flash.ts";
import { createUdsLink, type UdsLink } from "#vmg-sim/vmg/uds-link.ts";
import { start } from "./child.ts";
import { comparison, type BenchContext, type Figure } from "./figure.ts";
import { alternate } from "./sample.ts";
import { until } from "./until.ts";

const MIB = 1024 * 1024;
/** SID and block sequence counter before the bytes of a TransferData request. */
const BLOCK_OVERHEAD = 2;

/** What a receiver prints. */
export interface Listening {
  port: number;
  /** Logical address of the ECU, where there is one. */
  target: number;
}

/**
 * Megabytes a second of flashing one ECU over DoIP, beside a bare TCP stream of as many blocks of
 * the same length: each acknowledged before the next one, and not acknowledged at all.
 */
export async function measureFlashing({ workspace, quick, say }: BenchContext): Promise<Figure> {
  await using hardware = await startReceiver("hardware", workspace.place("flashing"));
  const link = createUdsLink({ host: "127.0.0.1", port: hardware.port });
  const image = repeated(randomBytes(MIB), quick ? 10 : 200);
  // The first one finds cold code, and how long the ECU's blocks are.
  const { blockLength } = await flash(link, hardware.target, image);
  await using acknowledging = await startReceiver("blocks", String(blockLength));
  await using taking = await startReceiver("stream");

  const rates = { whole: [] as number[] };
  const runs = await alternate(quick ? 2 : 7, {
    flashed: async () => {
      const { transfer, whole } = await flash(link, hardware.target, image);
      rates.whole.push(whole);
      say(`  flashing: ${transfer.toFixed(0)} MB/s, ${whole.toFixed(0)} MB/s from start to end`);
      return transfer;
    },
    blocks: async () => {
      const rate = await sendBlocks(acknowledging.port, blockLength, image.length);
      say(`  TCP, each block acknowledged: ${rate.toFixed(0)} MB/s`);
      return rate;
    },
    stream: async () => {
      const rate = await sendStream(taking.port, blockLength, image.length);
      say(`  TCP, nothing acknowledged: ${rate.toFixed(0)} MB/s`);
      return rate;
    },
  });
  link.close();
  const blocks = { name: "TCP, block by block", runs: runs.blocks };
  return {
    title: "Flashing an ECU",
    notes: [
      `An image of ${image.length / MIB} MiB into one ECU over DoIP, in blocks of ${blockLength} bytes, which is what the ECU announces. The VMG's side is one process; the zonal gateway and the ECU, which talk DoIP with each other too, are another, and the ECU writes each block into a file before it answers. The transfer counts from the first block (TransferData, 36) to the acknowledgement of the last; the last line all of \`flashEcu\`: session, unlocking, erasing, transfer, \`fdatasync\`, hashing of the bank, activation. The ECU is built without a director's root, so that nobody verifies metadata.`,
      "Bare TCP over loopback: as many blocks of the same length between two processes. Block by block: the receiver answers each one by a byte and the sender waits for it, as TransferData demands; it has one hop instead of two and writes nothing. As a stream: the sender waits for the socket alone, and once for the end.",
    ],
    rows: [
      comparison("transfer", "MB/s", runs.flashed, blocks),
      comparison("transfer", "MB/s", runs.flashed, { name: "TCP, a stream", runs: runs.stream }),
      comparison("flashing, start to end", "MB/s", rates.whole, blocks),
    ],
  };
}

interface RepeatedImage {
  length: number;
  sha256: Uint8Array;
  chunk: Uint8Array;
}

/** An image that needs no more memory than one piece of it. */
function repeated(chunk: Uint8Array, times: number): RepeatedImage {
  const hash = createHash("sha256");
  for (let i = 0; i < times; i++) hash.update(chunk);
  return { length: chunk.length * times, sha256: hash.digest(), chunk };
}

/** @returns MB/s, of the transfer alone and of everything */
async function flash(
  link: UdsLink,
  target: number,
  { chunk, ...image }: RepeatedImage,
): Promise<{ transfer: number; whole: number; blockLength: number }> {
  let first = 0;
  let last = 0;
  let blockLength = 0;
  async function* chunks() {
    // Somebody wants the first bytes: the ECU has taken the RequestDownload.
    first = performance.now();
    for (let at = 0; at < image.length; at += chunk.length) yield chunk;
  }
  const began = performance.now();
  await flashEcu(link, target, {
    ...image,
    image: chunks(),
    version: "2.0.0",
    securityKey: hmacKey(loadVehicleConfig({}).uds.security_secrets),
    onProgress(bytes) {
      if (blockLength === 0) blockLength = bytes + BLOCK_OVERHEAD;
      last = performance.now();
    },
  });
  const rate = (ms: number) => image.length / 1e3 / ms;
  return { transfer: rate(last - first), whole: rate(performance.now() - began), blockLength };
}

/** @returns MB/s of the bytes that are not overhead */
async function sendBlocks(port: number, blockLength: number, length: number): Promise<number> {
  const socket = await open(port);
  const block = randomBytes(blockLength);
  const began = performance.now();
  await new Promise<void>((done, fail) => {
    let sent = 0;
    const next = () => {
      if (sent >= length) return done();
      sent += blockLength - BLOCK_OVERHEAD;
      socket.write(block);
    };
    socket.on("data", next).once("error", fail);
    next();
  });
  const rate = length / 1e3 / (performance.now() - began);
  socket.destroy();
  return rate;
}

async function sendStream(port: number, blockLength: number, length: number): Promise<number> {
  const socket = await open(port);
  const block = randomBytes(blockLength);
  const began = performance.now();
  for (let sent = 0; sent < length; sent += blockLength - BLOCK_OVERHEAD) {
    if (!socket.write(block)) await once(socket, "drain");
  }
  socket.end();
  await once(socket, "data");
  const rate = length / 1e3 / (performance.now() - began);
  socket.destroy();
  return rate;
}

async function open(port: number): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  await once(socket, "connect");
  return socket;
}

async function startReceiver(...args: string[]) {
  const program = fileURLToPath(new URL("./flashing-receiver.ts", import.meta.url));
  const child = start([process.execPath, program, ...args]);
  const listening = await until(`the receiver (${args[0]})`, () => {
    if (child.hasEnded()) throw new Error(`the receiver did not start:\n${child.output()}`);
    return /^\{.*\}$/m.exec(child.output())?.[0];
  });
  return {
    ...(JSON.parse(listening) as Listening),
    [Symbol.asyncDispose]: () => child.stop(),
  };
}
