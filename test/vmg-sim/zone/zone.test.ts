import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startHardware } from "#vmg-sim/hardware.ts";
import { rawSocket, type RawSocket } from "#test/protocol/doip/raw-socket.ts";
import { FIRST, GROUP, SECOND, vehicleRig, type VehicleRig } from "./vehicle-rig.ts";

const ACTIVATE = "02fd0005000000070e810000000000";
const ACTIVATED = "02fd0006000000090e8110001000000000";

let rig: VehicleRig;

beforeEach(async () => {
  rig = await vehicleRig();
});

afterEach(() => rig.dispose());

async function tester(): Promise<RawSocket> {
  const raw = await rawSocket(rig.zone.port);
  raw.send(ACTIVATE);
  expect(await raw.receive(17)).toBe(ACTIVATED);
  return raw;
}

const hex = (value: number) => value.toString(16).padStart(4, "0");
const length = (uds: string, extra = 0) =>
  (uds.length / 2 + 4 + extra).toString(16).padStart(8, "0");
const to = (target: number, uds: string) => `02fd8001${length(uds)}0e81${hex(target)}${uds}`;
const from = (source: number, uds: string) => `02fd8001${length(uds)}${hex(source)}0e81${uds}`;
const ack = (source: number) => `02fd800200000005${hex(source)}0e8100`;
const nack = (source: number, code: string) => `02fd800300000005${hex(source)}0e81${code}`;

describe("a zonal gateway on the wire", () => {
  test("carries a request to its ECU: the acknowledgement, then the answer in the ECU's name", async () => {
    const raw = await tester();
    raw.send(to(FIRST, "22f186"));
    const expected = ack(FIRST) + from(FIRST, "62f18601");
    expect(await raw.receive(expected.length / 2)).toBe(expected);
  });

  test("gives each of two ECUs its own answer", async () => {
    const raw = await tester();
    raw.send(to(FIRST, "1003"), to(SECOND, "22f186"), to(FIRST, "22f186"));
    const parts = [
      ack(FIRST) + from(FIRST, "5003003201f4"),
      ack(SECOND) + from(SECOND, "62f18601"),
      ack(FIRST) + from(FIRST, "62f18603"),
    ];
    const all = await raw.receive(parts.join("").length / 2);
    for (const frame of parts.flatMap((part) => part.match(/02fd.*?(?=02fd|$)/g) ?? [])) {
      expect(all).toContain(frame);
    }
  });

  test("carries the answer of an ECU that gives another address", async () => {
    rig.behave(FIRST, { answersFrom: 0x1077 });
    const raw = await tester();
    raw.send(to(FIRST, "22f186"));
    const expected = ack(FIRST) + from(0x1077, "62f18601");
    expect(await raw.receive(expected.length / 2)).toBe(expected);
  });

  test("does not know every address", async () => {
    const raw = await tester();
    raw.send(to(0x1003, "3e00"));
    expect(await raw.receive(13)).toBe(nack(0x1003, "03"));
    raw.send(to(0x1000, "3e00"));
    expect(await raw.receive(13)).toBe(nack(0x1000, "03"));
  });

  test("takes a request as long as UDS allows, no longer", async () => {
    const raw = await tester();
    raw.send(to(FIRST, "ba".repeat(0xffff)));
    expect(await raw.receive(13 + 15)).toBe(ack(FIRST) + from(FIRST, "7fba11"));
    raw.send(to(FIRST, "ba".repeat(0x10000)));
    expect(await raw.receive(13)).toBe(nack(FIRST, "04"));
  });

  test("says that an ECU is unreachable while it restarts, and finds it again", async () => {
    rig.behave(FIRST, { bootMs: 60_000 });
    const raw = await tester();
    raw.send(to(FIRST, "1101"));
    expect(await raw.receive(13 + 14)).toBe(ack(FIRST) + from(FIRST, "5101"));
    raw.send(to(FIRST, "3e00"));
    expect(await raw.receive(13)).toBe(nack(FIRST, "06"));
    raw.send(to(SECOND, "3e00"));
    expect(await raw.receive(13 + 14)).toBe(ack(SECOND) + from(SECOND, "7e00"));
  });

  test("acknowledges a group once, then each ECU answers in its own name", async () => {
    const raw = await tester();
    raw.send(to(GROUP, "22f186"));
    expect(await raw.receive(13)).toBe(ack(GROUP));
    const answers = [await raw.receive(16), await raw.receive(16)];
    expect(answers.sort()).toEqual([from(FIRST, "62f18601"), from(SECOND, "62f18601")]);
  });

  test("a group request that no ECU has to answer is acknowledged all the same", async () => {
    const raw = await tester();
    raw.send(to(GROUP, "3e80"), to(FIRST, "22f186"));
    const expected = ack(GROUP) + ack(FIRST) + from(FIRST, "62f18601");
    expect(await raw.receive(expected.length / 2)).toBe(expected);
  });

  test("lets no source in that is no tester", async () => {
    const raw = await rawSocket(rig.zone.port);
    raw.send(ACTIVATE.replace("0e81", "1001"));
    expect(await raw.closed()).toBe("02fd000600000009100110000000000000");
  });

  test("serves two testers at once without mixing their answers", async () => {
    const raw = await tester();
    const COUNT = 50;
    const mine = Array.from({ length: COUNT }, () => rig.ask(SECOND, "22f18c"));
    raw.send(to(FIRST, "22f18c").repeat(COUNT));
    const expected = ack(FIRST) + from(FIRST, `62f18c${Buffer.from("SN-E1").toString("hex")}`);
    const frames = await raw.receive((COUNT * expected.length) / 2);
    expect(frames.match(new RegExp(from(FIRST, ""), "g")) ?? []).toHaveLength(0);
    expect(frames.split(expected.slice(26)).length - 1).toBe(COUNT);
    expect(new Set(await Promise.all(mine))).toEqual(
      new Set([`62f18c${Buffer.from("SN-E2").toString("hex")}`]),
    );
  });

  test("a tester that leaves takes nothing with it", async () => {
    const raw = await tester();
    raw.send(to(FIRST, "3e00"));
    await raw.receive(13 + 14);
    raw.socket.resetAndDestroy();
    const again = await tester();
    again.send(to(FIRST, "3e00"));
    expect(await again.receive(13 + 14)).toBe(ack(FIRST) + from(FIRST, "7e00"));
  });

  test("passes a tester's slowness on, losing nothing", async () => {
    const raw = await tester();
    const request = to(FIRST, `22${"f190".repeat(64)}`);
    const answer = from(
      FIRST,
      `62${`f190${Buffer.from("WAUZZZ8V0JA000001").toString("hex")}`.repeat(64)}`,
    );
    const COUNT = 5_000;
    raw.socket.pause();
    raw.send(request.repeat(COUNT));
    // Others are not held up by the one that does not read.
    for (let i = 0; i < 100; i++) expect(await rig.ask(SECOND, "3e00")).toBe("7e00");
    raw.socket.resume();
    const all = await raw.receive((COUNT * (ack(FIRST).length + answer.length)) / 2);
    expect(all.split(answer).length - 1).toBe(COUNT);
  });
});

describe("the hardware of a vehicle", () => {
  test("tells where it listens and what its ECUs run", () => {
    expect(rig.zone).toMatchObject({
      zone_id: "ZG-1",
      host: "127.0.0.1",
      logical_address: 0x1000,
      functional_address: GROUP,
      ecus: [
        { ecu_id: "E1", logical_address: FIRST, software_version: "1.0.0" },
        { ecu_id: "E2", logical_address: SECOND, software_version: "1.0.0" },
      ],
    });
  });

  test("leaves nothing running when a part of it can't start", async () => {
    const { port } = rig.zone;
    const taken = startHardware({
      vin: "WAUZZZ8V0JA000001",
      stateFolder: "/dev/null",
      zones: [{ zone_id: "ZG-2", logical_address: 0x1000, port, ecus: [] }],
    });
    await expect(taken).rejects.toMatchObject({ code: "EADDRINUSE" });
  });
});
