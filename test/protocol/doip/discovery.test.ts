import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import * as fc from "fast-check";
import {
  answerDatagram,
  type EntityIdentity,
  type EntityStatus,
} from "#protocol/doip/discovery.ts";
import { listenDiscovery, type Discovery } from "#protocol/doip/discovery-socket.ts";
import { encodeFrame } from "#protocol/doip/frame.ts";
import { PYTHON, requirePeer } from "#test/helpers/optional.ts";
import { manualClock, type ManualClock } from "./manual-clock.ts";

const run = promisify(execFile);

/** A datagram whose header has no source port (RFC 768): no ordinary socket sends that. */
const fromPortZero = `
import socket, struct, sys
port, payload = int(sys.argv[1]), bytes.fromhex(sys.argv[2])
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
raw.sendto(struct.pack("!HHHH", 0, port, 8 + len(payload), 0) + payload, ("127.0.0.1", 0))
`;

const identity: EntityIdentity = {
  vin: "LATTICE0000000001",
  logicalAddress: 0x1010,
  eid: Buffer.from("020000000001", "hex"),
  gid: Buffer.from("020000000002", "hex"),
  furtherAction: 0x00,
  syncStatus: 0x00,
};
const status: EntityStatus = {
  nodeType: 0x00,
  maxSockets: 4,
  openSockets: 1,
  maxDataSize: 0xffff,
  powerMode: 0x01,
};

const VIN = Buffer.from(identity.vin).toString("hex");
const OTHER_VIN = Buffer.from("LATTICE0000000002").toString("hex");
const ANNOUNCEMENT = `000400000021${VIN}10100200000000010200000000020000`;
const nack = (code: string) => `000000000001${code}`;

function answer(hex: string) {
  const answered = answerDatagram(identity, status, Buffer.from(hex, "hex"));
  if (answered === undefined) return undefined;
  const { message, version, delayed } = answered;
  return { hex: Buffer.concat(encodeFrame(message, version)).toString("hex"), delayed };
}

describe("a datagram to a DoIP entity", () => {
  test.each([
    ["an identification request", "02fd000100000000", `02fd${ANNOUNCEMENT}`],
    ["one in version 3", "03fc000100000000", `03fc${ANNOUNCEMENT}`],
    ["one in any version", "ff00000100000000", `02fd${ANNOUNCEMENT}`],
    ["one by its EID", "02fd000200000006020000000001", `02fd${ANNOUNCEMENT}`],
    ["one by its VIN in any version", `ff00000300000011${VIN}`, `02fd${ANNOUNCEMENT}`],
  ])("%s is answered with the announcement, after a wait", (_, request, expected) => {
    expect(answer(request)).toEqual({ hex: expected, delayed: true });
  });

  test.each([
    ["entity status", "02fd400100000000", "02fd4002000000070004010000ffff"],
    ["power mode", "03fc400300000000", "03fc40040000000101"],
  ])("%s is answered at once", (_, request, expected) => {
    expect(answer(request)).toEqual({ hex: expected, delayed: false });
  });

  test.each([
    ["another's EID", "02fd000200000006020000000009"],
    ["another's VIN", `02fd000300000011${OTHER_VIN}`],
    ["another entity's announcement", `02fd${ANNOUNCEMENT}`],
    ["another entity's status", "02fd40020000000300040100"],
    ["another entity's power mode", "02fd40040000000101"],
    ["a negative acknowledgement", "02fd00000000000100"],
    ["less than a header", "02fd0001000000"],
    ["nothing", ""],
  ])("%s gets no answer", (_, request) => {
    expect(answer(request)).toBeUndefined();
  });

  test.each([
    ["a wrong inverse version", "02fc000100000000", "02fd", "00"],
    ["the version of 2010", "01fe000100000000", "02fd", "00"],
    ["any version for something else than an identification", "ff00400100000000", "02fd", "00"],
    ["an unknown type", "02fd123400000000", "02fd", "01"],
    ["a type that goes by TCP, in version 3", "03fc0005000000070e800000000000", "03fc", "01"],
    ["a length beyond all of them", "02fd0001ffffffff", "02fd", "02"],
    ["a length that the type does not have", "02fd00020000000500", "02fd", "04"],
    ["less than the length says", "02fd00020000000602", "02fd", "04"],
    ["bytes behind the message", "02fd00010000000000", "02fd", "04"],
  ])("%s is refused by the code for it", (_, request, version, code) => {
    expect(answer(request)).toEqual({ hex: version + nack(code), delayed: false });
  });

  test("of any bytes at all gets a frame or nothing", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const answered = answerDatagram(identity, status, bytes);
        if (answered === undefined) return;
        const frame = Buffer.concat(encodeFrame(answered.message, answered.version));
        expect(frame.readUInt32BE(4)).toBe(frame.length - 8);
      }),
    );
  });

  test("an id that is no VIN is filled up with blanks, and found by them", () => {
    const short = { ...identity, vin: "VMG-001" };
    const vin = Buffer.from("VMG-001          ").toString("hex");
    const request = Buffer.from(`02fd000300000011${vin}`, "hex");
    const { message } = answerDatagram(short, status, request) ?? {};
    expect(message).toMatchObject({ vin: "VMG-001          " });
  });
});

describe("the discovery port", () => {
  const READY = "02fd40040000000101";
  let clock: ManualClock;
  let discovery: Discovery;
  let tester: ReturnType<typeof createSocket>;
  let heard: string[];
  let onHeard: () => void;

  beforeEach(async () => {
    clock = manualClock();
    heard = [];
    onHeard = () => {};
    tester = createSocket("udp4");
    tester.on("message", (bytes) => {
      heard.push(bytes.toString("hex"));
      onHeard();
    });
    await new Promise<void>((bound) => {
      tester.bind(0, "127.0.0.1", bound);
    });
    discovery = await listenDiscovery({
      host: "127.0.0.1",
      port: 0,
      identity,
      status: () => status,
      clock,
      announceTo: { address: "127.0.0.1", port: tester.address().port },
      random: () => 0.5,
    });
  });

  afterEach(async () => {
    await discovery.close();
    tester.close();
  });

  const ask = (hex: string) => tester.send(Buffer.from(hex, "hex"), discovery.port, "127.0.0.1");

  /** What has come until an answer that is given at once: all that was due before it. */
  async function heardNow(): Promise<string[]> {
    ask("02fd400300000000");
    await new Promise<void>((resolve) => {
      onHeard = () => heard.includes(READY) && resolve();
    });
    return heard.splice(0).filter((each) => each !== READY);
  }

  test("announces itself three times, half a second apart, after a random wait", async () => {
    clock.advance(249);
    expect(await heardNow()).toEqual([]);
    for (const ms of [1, 500, 500]) {
      clock.advance(ms - 1);
      expect(await heardNow()).toEqual([]);
      clock.advance(1);
      expect(await heardNow()).toEqual([`02fd${ANNOUNCEMENT}`]);
    }
    clock.advance(5_000);
    expect(await heardNow()).toEqual([]);
  });

  test("answers an identification request after a random wait", async () => {
    clock.advance(5_000);
    await heardNow();
    ask("03fc000100000000");
    expect(await heardNow()).toEqual([]);
    clock.advance(249);
    expect(await heardNow()).toEqual([]);
    clock.advance(1);
    expect(await heardNow()).toEqual([`03fc${ANNOUNCEMENT}`]);
  });

  test("outlives a datagram from port 0, which nothing can be sent to", async (context) => {
    requirePeer(context, "raw-socket");
    clock.advance(5_000);
    await heardNow();
    await run(PYTHON, ["-c", fromPortZero, `${discovery.port}`, "02fd400300000000"]);
    await run(PYTHON, ["-c", fromPortZero, `${discovery.port}`, "02fd000100000000"]);
    expect(await heardNow()).toEqual([]);
    clock.advance(500);
    expect(await heardNow()).toEqual([]);
  });

  test("keeps no more than 64 answers waiting", async () => {
    clock.advance(5_000);
    await heardNow();
    for (let sent = 0; sent < 100; sent++) ask("02fd000100000000");
    expect(await heardNow()).toEqual([]);
    clock.advance(500);
    expect(await heardNow()).toHaveLength(64);
  });
});
