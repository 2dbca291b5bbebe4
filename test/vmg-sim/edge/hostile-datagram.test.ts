import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { manualClock, type ManualClock } from "#test/protocol/doip/manual-clock.ts";
import { EDGE, edgeRig, VIN, type EdgeRig } from "./edge-rig.ts";

const READY = "02fd40040000000101";
const hex = (value: number, bytes: number) => value.toString(16).padStart(2 * bytes, "0");
const frame = (type: string, payload = "") => `02fd${type}${hex(payload.length / 2, 4)}${payload}`;
const vin = Buffer.from(VIN).toString("hex");

let rig: EdgeRig;
let clock: ManualClock;
let tester: Socket;
let heard: string[];

beforeAll(async () => {
  clock = manualClock();
  rig = await edgeRig(clock);
  tester = createSocket("udp4");
  tester.on("message", (bytes) => heard.push(bytes.toString("hex")));
  tester.bind(0, "127.0.0.1");
  await once(tester, "listening");
});

afterAll(async () => {
  tester.close();
  await rig.dispose();
});

beforeEach(() => {
  heard = [];
});

const say = (datagram: string) =>
  tester.send(Buffer.from(datagram, "hex"), rig.edge.udpPort, "127.0.0.1");

/** All that came for datagrams: until the answer to one that is answered at once, then the late ones. */
async function reaction(...datagrams: string[]): Promise<string[]> {
  const told = async (times: number) => {
    say("02fd400300000000");
    while (heard.filter((each) => each === READY).length < times) await once(tester, "message");
  };
  for (const datagram of datagrams) say(datagram);
  await told(1);
  clock.advance(500);
  await told(2);
  return heard.filter((each) => each !== READY);
}

const refused = (code: string) => [frame("0000", code)];
const identified = [expect.stringMatching(`^02fd000400000021${vin}${hex(EDGE, 2)}`)];

describe("a datagram to the edge gateway", () => {
  test.each<[string, string, unknown[]]>([
    ["0000 header NACK", frame("0000", "00"), []],
    ["0001 identification", frame("0001"), identified],
    ["0002 identification by another's EID", frame("0002", "ffffffffffff"), []],
    ["0003 identification by VIN", frame("0003", vin), identified],
    ["0003 identification by bytes that are no text", frame("0003", "ff".repeat(17)), []],
    ["0003 identification by zeros", frame("0003", "00".repeat(17)), []],
    ["0004 announcement", frame("0004", `${vin}${"00".repeat(15)}`), []],
    ["0004 longer announcement", frame("0004", `${vin}${"00".repeat(16)}`), []],
    ["0005 activation", frame("0005", "0e000000000000"), refused("01")],
    ["0006 activation response", frame("0006", "0e0000011000000000"), refused("01")],
    ["0007 alive check", frame("0007"), refused("01")],
    ["0008 alive", frame("0008", "0e00"), refused("01")],
    ["4001 entity status", frame("4001"), [frame("4002", "0004000000ffff")]],
    ["4002 entity status response", frame("4002", "000101"), []],
    ["4004 power mode response", frame("4004", "01"), []],
    ["8001 diagnostic message", frame("8001", "0e0010013e00"), refused("01")],
    ["8002 acknowledgement", frame("8002", "10010e0000"), refused("01")],
    ["8003 NACK", frame("8003", "10010e0002"), refused("01")],
    ["no known type", frame("7fff"), refused("01")],
  ])("of type %s", async (_, datagram, expected) => {
    expect(await reaction(datagram)).toEqual(expected);
  });

  const lengths: [string, number[]][] = [
    ["0000", [0, 2, 33]],
    ["0001", [1, 6, 17, 33]],
    ["0002", [0, 5, 7]],
    ["0003", [0, 16, 18]],
    ["0004", [0, 31]],
    ["4001", [1, 33]],
    ["4002", [0, 4, 8]],
    ["4003", [1]],
    ["4004", [0, 2]],
  ];

  test.each(lengths)("of type %s with lengths that it never has: %j", async (type, wrong) => {
    for (const length of wrong) {
      expect(await reaction(frame(type, "00".repeat(length)))).toEqual(refused("04"));
      heard = [];
    }
    expect(await reaction(`02fd${type}00000022${"00".repeat(34)}`)).toEqual(refused("02"));
    heard = [];
    expect(await reaction(`02fd${type}ffffffff`)).toEqual(refused("02"));
  });

  test.each([frame("0001"), frame("0002", "ffffffffffff"), frame("0003", vin), frame("4001")])(
    "%s, cut anywhere",
    async (datagram) => {
      for (let length = 0; length < datagram.length; length += 2) {
        // Less than a header is nobody's message; less than the header says is a wrong length.
        const expected = length < 16 ? [] : refused("04");
        expect(await reaction(datagram.slice(0, length)), `${length / 2}`).toEqual(expected);
        heard = [];
      }
    },
  );

  test.each([
    ["a byte too many", `${frame("0001")}00`, "04"],
    ["two messages at once", frame("0001") + frame("4001"), "04"],
    ["as much as a datagram holds", frame("0001") + "00".repeat(65_000), "04"],
    ["the version of 2010", `01fe${frame("0001").slice(4)}`, "00"],
    ["a version to come", `05fa${frame("0001").slice(4)}`, "00"],
    ["an inverse version that is none", `02fe${frame("0001").slice(4)}`, "00"],
    ["any version for an entity status", `ff00${frame("4001").slice(4)}`, "00"],
  ])("with %s", async (_, datagram, code) => {
    expect(await reaction(datagram)).toEqual(refused(code));
  });

  test("never answers an answer, so that two entities don't talk for ever", async () => {
    const [nack = ""] = refused("00");
    const [status = ""] = await reaction(frame("4001"));
    heard = [];
    expect(await reaction(nack, status, frame("4004", "01"))).toEqual([]);
  });
});
