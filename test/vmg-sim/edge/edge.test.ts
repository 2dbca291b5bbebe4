import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startHardware } from "#vmg-sim/hardware.ts";
import { createUdsLink } from "#vmg-sim/vmg/uds-link.ts";
import { rawSocket, type RawSocket } from "#test/protocol/doip/raw-socket.ts";
import { manualClock, type ManualClock } from "#test/protocol/doip/manual-clock.ts";
import {
  ALL,
  EDGE,
  edgeRig,
  FRONT,
  FRONT_GROUP,
  REAR,
  REAR_TOO,
  type EdgeRig,
} from "./edge-rig.ts";

const TESTER = "0e00";

let rig: EdgeRig;
let clock: ManualClock;

beforeEach(async () => {
  clock = manualClock();
  rig = await edgeRig(clock);
});

afterEach(() => rig.dispose());

const hex = (value: number) => value.toString(16).padStart(4, "0");
const size = (uds: string) => (uds.length / 2 + 4).toString(16).padStart(8, "0");
const to = (target: number, uds: string, source = TESTER) =>
  `02fd8001${size(uds)}${source}${hex(target)}${uds}`;
const from = (source: number, uds: string, tester = TESTER) =>
  `02fd8001${size(uds)}${hex(source)}${tester}${uds}`;
const ack = (source: number, tester = TESTER) => `02fd800200000005${hex(source)}${tester}00`;

async function tester(source = TESTER): Promise<RawSocket> {
  const raw = await rawSocket(rig.edge.port);
  raw.send(`02fd000500000007${source}0000000000`);
  expect(await raw.receive(17)).toBe(`02fd000600000009${source}${hex(EDGE)}1000000000`);
  return raw;
}

/** The frames of so many bytes, in the order of their text, for answers come in any. */
const frames = (bytes: string) => (bytes.match(/02fd.*?(?=02fd|$)/g) ?? []).toSorted();

async function receiveFrames(raw: RawSocket, like: string[]): Promise<string[]> {
  return frames(await raw.receive(like.join("").length / 2));
}

describe("a tester at the diagnostic connector", () => {
  test.each([
    ["an ECU of the one zone", FRONT],
    ["an ECU of the other", REAR],
    ["the edge gateway itself", EDGE],
  ])("reaches %s", async (_, target) => {
    const raw = await tester();
    raw.send(to(target, "22f186"));
    const expected = ack(target) + from(target, "62f18601");
    expect(await raw.receive(expected.length / 2)).toBe(expected);
  });

  test("hears what an ECU sends periodically, also after its next request", async () => {
    const raw = await tester();
    raw.send(to(REAR_TOO, "1003"), to(REAR_TOO, "2a0301"));
    const begun = [
      ack(REAR_TOO),
      from(REAR_TOO, "5003003201f4"),
      ack(REAR_TOO),
      from(REAR_TOO, "6a"),
    ];
    expect(await receiveFrames(raw, begun)).toEqual(begun.toSorted());
    const periodic = from(REAR_TOO, "011234");
    clock.advance(50);
    expect(await raw.receive(periodic.length / 2)).toBe(periodic);
    raw.send(to(REAR_TOO, "2a04"));
    const stopped = ack(REAR_TOO) + from(REAR_TOO, "6a");
    expect(await raw.receive(stopped.length / 2)).toBe(stopped);
    clock.advance(50);
    raw.send(to(REAR_TOO, "3e00"));
    const next = ack(REAR_TOO) + from(REAR_TOO, "7e00");
    expect(await raw.receive(next.length / 2)).toBe(next);
  });

  test("asks several without waiting, and gets each one's answer", async () => {
    const raw = await tester();
    raw.send(to(FRONT, "1003"), to(REAR, "22f186"), to(REAR_TOO, "3e00"), to(EDGE, "3e00"));
    const answers = [
      ack(FRONT),
      from(FRONT, "5003003201f4"),
      ack(REAR),
      from(REAR, "62f18601"),
      ack(REAR_TOO),
      from(REAR_TOO, "7e00"),
      ack(EDGE),
      from(EDGE, "7e00"),
    ];
    expect(await receiveFrames(raw, answers)).toEqual(answers.toSorted());
  });

  test.each([
    ["the whole vehicle", ALL, [EDGE, FRONT, REAR, REAR_TOO]],
    ["the emissions group", 0xe000, [EDGE, FRONT, REAR, REAR_TOO]],
    ["a zone", FRONT_GROUP, [EDGE, FRONT]],
  ])("asks %s at once: one acknowledgement, each ECU's own answer", async (_, group, ecus) => {
    const raw = await tester();
    raw.send(to(group, "22f186"));
    const answers = [ack(group), ...ecus.map((ecu) => from(ecu, "62f18601"))];
    expect(await receiveFrames(raw, answers)).toEqual(answers.toSorted());
  });

  test("is told of an address that is nobody's", async () => {
    const raw = await tester();
    raw.send(to(0x3001, "3e00"));
    expect(await raw.receive(13)).toBe(`02fd8003000000053001${TESTER}03`);
  });

  test.each(["0f00", "1001", "0001"])("does not come in as %s", async (source) => {
    const raw = await rawSocket(rig.edge.port);
    raw.send(`02fd000500000007${source}0000000000`);
    expect(await raw.closed()).toBe(`02fd000600000009${source}${hex(EDGE)}0000000000`);
  });

  test("is not in the way of another, nor of the VMG", async () => {
    const first = await tester("0e00");
    const second = await tester("0e80");
    const [zone] = rig.hardware.zones;
    const vmg = createUdsLink({ host: "127.0.0.1", port: zone?.port ?? 0 });
    first.send(to(FRONT, "1003", "0e00"));
    const extended = ack(FRONT, "0e00") + from(FRONT, "5003003201f4", "0e00");
    expect(await first.receive(extended.length / 2)).toBe(extended);
    second.send(to(FRONT, "3e00", "0e80"));
    const present = ack(FRONT, "0e80") + from(FRONT, "7e00", "0e80");
    expect(await second.receive(present.length / 2)).toBe(present);
    const answer = await vmg.request(FRONT, Buffer.from("22f186", "hex"));
    expect(Buffer.from(answer).toString("hex")).toBe("62f18603");
    vmg.close();
  });
});

describe("the discovery port of the vehicle", () => {
  async function ask(request: string): Promise<string> {
    const socket = createSocket("udp4");
    const answered = once(socket, "message") as Promise<[Buffer]>;
    const sent = new Promise<void>((done) => {
      socket.send(Buffer.from(request, "hex"), rig.edge.udpPort, "127.0.0.1", () => done());
    });
    await sent;
    // The answer to an identification waits for its time.
    const tick = setInterval(() => clock.advance(500), 1);
    const [answer] = await answered;
    clearInterval(tick);
    socket.close();
    return answer.toString("hex");
  }

  test("identifies the vehicle by its VIN and the gateway's address", async () => {
    const answer = await ask("02fd000100000000");
    expect(answer).toHaveLength(2 * (8 + 33));
    expect(answer.slice(16, 54)).toBe(Buffer.from("LATTICE0000000001").toString("hex") + hex(EDGE));
  });

  test("counts the testers that are there", async () => {
    expect(await ask("02fd400100000000")).toBe("02fd4002000000070004000000ffff");
    await tester();
    expect(await ask("02fd400100000000")).toBe("02fd4002000000070004010000ffff");
  });
});

test("a vehicle does without a connector where another one has the port", async () => {
  const faults: unknown[] = [];
  const stateFolder = await mkdtemp(join(tmpdir(), "latticeway-edge-"));
  const second = await startHardware({
    vin: "LATTICE0000000002",
    stateFolder,
    zones: [],
    edge: {
      host: "127.0.0.1",
      port: rig.edge.port,
      logical_address: EDGE,
      functional_address: ALL,
      announce_to: "",
    },
    onFault: (_, error) => faults.push(error),
  });
  expect(second.edge).toBeUndefined();
  expect(faults).toMatchObject([{ code: "EADDRINUSE" }]);
  await second.stop();
  await rm(stateFolder, { recursive: true });
});
