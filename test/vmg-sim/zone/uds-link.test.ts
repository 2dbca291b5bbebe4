import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { listenDoip, type DoipListener } from "#protocol/doip/listener.ts";
import { systemClock } from "#protocol/doip/clock.ts";
import type { VehicleTiming } from "#protocol/mqtt/diagnostics.ts";
import { config as entityConfig } from "#test/protocol/doip/entity-table.ts";
import { manualClock, settle } from "#test/protocol/doip/manual-clock.ts";
import { udsLanes } from "#vmg-sim/vmg/uds-lanes.ts";
import { createUdsLink } from "#vmg-sim/vmg/uds-link.ts";
import { FIRST, GROUP, SECOND, vehicleRig, type VehicleRig } from "./vehicle-rig.ts";

let rig: VehicleRig;

beforeEach(async () => {
  rig = await vehicleRig();
});

afterEach(() => rig.dispose());

const bytes = (hex: string) => Buffer.from(hex, "hex");

describe("the VMG's link", () => {
  test("reads an ECU", async () => {
    expect(await rig.ask(FIRST, "22f186")).toBe("62f18601");
    expect(await rig.ask(FIRST, "22ffff")).toBe("7f2231");
  });

  test("keeps requests to one ECU in their order, however many there are", async () => {
    const answers = await Promise.all([
      rig.ask(FIRST, "1003"),
      rig.ask(FIRST, "22f186"),
      rig.ask(FIRST, "1001"),
      rig.ask(FIRST, "22f186"),
    ]);
    expect(answers).toEqual(["5003003201f4", "62f18603", "5001003201f4", "62f18601"]);
  });

  test("does not let one ECU wait for another", async () => {
    rig.behave(FIRST, { slowMs: 400 });
    const order: string[] = [];
    await Promise.all([
      rig.ask(FIRST, "3e00").then(() => order.push("slow")),
      rig.ask(SECOND, "3e00").then(() => order.push("quick")),
    ]);
    expect(order).toEqual(["quick", "slow"]);
  });

  test("waits through 78s", async () => {
    rig.behave(FIRST, { slowMs: 1_500 });
    const link = rig.connect({ testerAddress: 0x0e81, timing: { p2Ms: 1_000 } });
    expect(Buffer.from(await link.request(FIRST, bytes("3e00")))).toEqual(bytes("7e00"));
  });

  test("repeats what an ECU was too busy for", async () => {
    rig.behave(FIRST, { busyRequests: 2 });
    expect(await rig.ask(FIRST, "3e00")).toBe("7e00");
    rig.behave(FIRST, { busyRequests: 9 });
    expect(await rig.ask(FIRST, "3e00")).toBe("7f3e21");
  });

  test.each([
    ["silent", { silent: true }],
    ["wrong", { wrongAnswer: true }],
  ] as const)("times out when the ECU is %s", async (_, behaviour) => {
    rig.behave(FIRST, behaviour);
    const link = rig.connect({ testerAddress: 0x0e81, timing: { p2Ms: 30 } });
    await expect(link.request(FIRST, bytes("3e00"))).rejects.toMatchObject({ code: "UDS_TIMEOUT" });
    expect(await rig.ask(SECOND, "22f186")).toBe("62f18601");
  });

  test("times out in spite of 78s", async () => {
    rig.behave(FIRST, { slowMs: 60_000 });
    const asked = rig.link.request(FIRST, bytes("3e00"), { timeoutMs: 150 });
    await expect(asked).rejects.toMatchObject({ code: "UDS_TIMEOUT" });
  });

  test("finishes with nothing when nothing was wanted", async () => {
    const link = rig.connect({ testerAddress: 0x0e81, timing: { p2Ms: 30 } });
    expect(await link.request(FIRST, bytes("3e80"))).toHaveLength(0);
  });

  test("knows an ECU that is not there from one that can't be reached", async () => {
    await expect(rig.ask(0x1009, "3e00")).rejects.toMatchObject({
      code: "ECU_UNKNOWN",
      wireCode: 3,
    });
    rig.behave(FIRST, { bootMs: 60_000 });
    await rig.ask(FIRST, "1101");
    await expect(rig.ask(FIRST, "3e00")).rejects.toMatchObject({
      code: "DOIP_UNREACHABLE",
      wireCode: 6,
    });
    await expect(rig.ask(FIRST, "ba".repeat(0x10000))).rejects.toMatchObject({
      code: "DOIP_NACK",
      wireCode: 4,
    });
  });

  test("says that there is no zonal gateway", async () => {
    const link = createUdsLink({ host: "127.0.0.1", port: 1 });
    const asked = link.request(FIRST, bytes("3e00"));
    await expect(asked).rejects.toMatchObject({ code: "DOIP_CONNECT" });
  });

  test("asks a group and hears everybody", async () => {
    const answers = await rig.link.requestFunctional(GROUP, bytes("22f18c"), 1_000);
    const heard = new Map(answers.map(({ source, response }) => [source, String(response)]));
    expect(heard.size).toBe(answers.length);
    expect(heard.get(FIRST)).toContain("SN-E1");
    expect(heard.get(SECOND)).toContain("SN-E2");
  });

  test("waits longer for those of a group that sent 78", async () => {
    rig.behave(SECOND, { slowMs: 1_300 });
    const answers = await rig.link.requestFunctional(GROUP, bytes("22f18c"), 800);
    expect(answers.map(({ source }) => source)).toEqual([FIRST, SECOND]);
  });

  test("hears only those of a group that answer", async () => {
    rig.behave(FIRST, { silent: true });
    const answers = await rig.link.requestFunctional(GROUP, bytes("22f18c"), 800);
    expect(answers.map(({ source }) => source)).toEqual([SECOND]);
    expect(await rig.link.requestFunctional(GROUP, bytes("22ffff"), 50)).toEqual([]);
    const unknown = rig.link.requestFunctional(0xe4ff, bytes("3e00"), 50);
    await expect(unknown).rejects.toMatchObject({ code: "ECU_UNKNOWN" });
  });

  test("keeps group answers and single answers apart", async () => {
    const [first, group, second] = await Promise.all([
      rig.ask(FIRST, "22f186"),
      rig.link.requestFunctional(GROUP, bytes("22f186"), 800),
      rig.ask(SECOND, "22f186"),
    ]);
    expect([first, second]).toEqual(["62f18601", "62f18601"]);
    expect(group).toHaveLength(2);
  });

  test("gives up at once when it is told to", async () => {
    rig.behave(FIRST, { slowMs: 400 });
    const controller = new AbortController();
    const { signal } = controller;
    const running = rig.link.request(FIRST, bytes("22f186"), { signal });
    const waiting = rig.link.request(FIRST, bytes("22f186"), { signal });
    const group = rig.link.requestFunctional(GROUP, bytes("22f186"), 100, { signal });
    controller.abort(new Error("enough"));
    for (const asked of [running, waiting, group]) await expect(asked).rejects.toThrow("enough");
    const later = rig.link.request(FIRST, bytes("22f186"), { signal });
    await expect(later).rejects.toThrow("enough");
    // The ECU still works on what it was asked; its late answer is not taken for this one's.
    expect(await rig.ask(FIRST, "22f18b")).toBe("62f18b20260115");
  });

  test("measures where the time goes", async () => {
    rig.behave(FIRST, { slowMs: 60 });
    const timings: VehicleTiming[] = [];
    const onTiming = (timing: VehicleTiming) => timings.push(timing);
    await Promise.all([
      rig.link.request(FIRST, bytes("3e00"), { onTiming }),
      rig.link.request(FIRST, bytes("22f186"), { onTiming }),
    ]);
    const [first, second] = timings;
    expect(first).toMatchObject({ pending_count: 1, ecu_ms: expect.any(Number) });
    expect(first?.doip_ack_ms).toBeLessThanOrEqual(first?.ecu_ms ?? 0);
    expect(first?.pending_ms).toBeLessThan(first?.ecu_ms ?? 0);
    // It waited for as long as the one before it took.
    expect(second?.queue_ms).toBeGreaterThanOrEqual(first?.ecu_ms ?? Infinity);
  });

  test("measures as far as a request came", async () => {
    rig.behave(FIRST, { silent: true });
    const timings: VehicleTiming[] = [];
    const onTiming = (timing: VehicleTiming) => timings.push(timing);
    const silent = rig.link.request(FIRST, bytes("3e00"), { onTiming, timeoutMs: 50 });
    await expect(silent).rejects.toMatchObject({ code: "UDS_TIMEOUT" });
    const nowhere = rig.connect({ port: 1 }).request(FIRST, bytes("3e00"), { onTiming });
    await expect(nowhere).rejects.toMatchObject({ code: "DOIP_CONNECT" });
    await rig.link.requestFunctional(GROUP, bytes("22f18c"), 300, { onTiming });
    const [noAnswer, noConnection, group] = timings;
    expect(Object.keys(noAnswer ?? {})).toEqual(["queue_ms", "doip_ack_ms", "pending_count"]);
    expect(noConnection).toEqual({});
    expect(group).toMatchObject({ ecu_ms: expect.any(Number), pending_count: 0 });
  });

  test("asks once more, right before each sending, whether it may", async () => {
    rig.behave(FIRST, { busyRequests: 1 });
    let times = 0;
    const beforeSend = () => {
      times += 1;
      if (times === 2) throw new Error("the vehicle has started to move");
    };
    const asked = rig.link.request(FIRST, bytes("1003"), { beforeSend });
    await expect(asked).rejects.toThrow("started to move");
    expect(await rig.ask(FIRST, "22f186")).toBe("62f18601");
    const refuse = () => {
      throw new Error("no");
    };
    const group = rig.link.requestFunctional(GROUP, bytes("1003"), 50, { beforeSend: refuse });
    await expect(group).rejects.toThrow("no");
    expect(await rig.ask(SECOND, "22f186")).toBe("62f18601");
  });

  test("tells an ECU that a tester is present while it works on something", async () => {
    rig.behave(FIRST, { slowMs: 400 });
    const order: string[] = [];
    const working = rig.ask(FIRST, "22f186").then((answer) => order.push(answer));
    await rig.link.tell(FIRST, bytes("3e80")).then(() => order.push("told"));
    await working;
    expect(order).toEqual(["told", "62f18601"]);
    const unknown = rig.link.tell(0x1009, bytes("3e80"));
    await expect(unknown).rejects.toMatchObject({ code: "ECU_UNKNOWN" });
  });

  test("is closed for good", async () => {
    rig.behave(FIRST, { silent: true });
    const link = rig.connect({ testerAddress: 0x0e81 });
    const asked = link.request(FIRST, bytes("3e00"));
    // The second request shows that the connection stands.
    await link.request(SECOND, bytes("3e00"));
    link.close();
    await expect(asked).rejects.toMatchObject({ code: "DOIP_CONNECT" });
    await expect(link.request(SECOND, bytes("3e00"))).rejects.toMatchObject({
      code: "DOIP_CONNECT",
    });
  });
});

describe("a link whose gateway comes and goes", () => {
  let listener: DoipListener;
  let taken: number;

  /** A gateway that never acknowledges what is meant for its ECUs. */
  async function listen(onTaken: () => void): Promise<void> {
    listener = await listenDoip({
      host: "127.0.0.1",
      port: 0,
      entity: entityConfig,
      clock: systemClock,
      onDiagnostic() {
        taken += 1;
        onTaken();
      },
    });
  }

  beforeEach(() => {
    taken = 0;
  });

  afterEach(() => listener.close());

  test("fails what was under way and connects anew", async () => {
    await listen(() => listener.goOffline());
    const link = createUdsLink({ host: "127.0.0.1", port: listener.port });
    for (let i = 1; i <= 3; i++) {
      const asked = [link.request(0x1001, bytes("3e00")), link.request(GROUP, bytes("3e00"))];
      const outcomes = await Promise.allSettled(asked);
      expect(outcomes).toMatchObject([
        { status: "rejected", reason: { code: "DOIP_CONNECT" } },
        { status: "rejected", reason: { code: "DOIP_CONNECT" } },
      ]);
      await expect(link.request(0x1001, bytes("3e00"))).rejects.toMatchObject({
        code: "DOIP_CONNECT",
      });
      listener.goOnline();
    }
    expect(taken).toBeGreaterThanOrEqual(3);
    link.close();
  });

  test("gives up on a gateway that never acknowledges", async () => {
    await listen(() => {});
    const clock = manualClock();
    const link = createUdsLink({ host: "127.0.0.1", port: listener.port, clock });
    const asked = link.request(0x1001, bytes("3e00"));
    while (taken === 0) await settle();
    clock.advance(2_000);
    await expect(asked).rejects.toMatchObject({ message: "no acknowledgement in time" });
    link.close();
    clock.advance(10_000);
  });
});

describe("lanes", () => {
  const log: string[] = [];
  const task = (name: string) => async () => {
    log.push(`+${name}`);
    await settle();
    log.push(`-${name}`);
    return name;
  };

  beforeEach(() => {
    log.length = 0;
  });

  test("one after the other for one target, side by side for two", async () => {
    const lanes = udsLanes();
    await Promise.all([
      lanes.alone(1, undefined, task("a")),
      lanes.alone(1, undefined, task("b")),
      lanes.alone(2, undefined, task("c")),
    ]);
    expect(log.indexOf("+c")).toBeLessThan(log.indexOf("-a"));
    expect(log.indexOf("+b")).toBeGreaterThan(log.indexOf("-a"));
  });

  test("a group request has the link to itself", async () => {
    const lanes = udsLanes();
    await Promise.all([
      lanes.alone(1, undefined, task("a")),
      lanes.exclusively(undefined, task("G")),
      lanes.alone(1, undefined, task("b")),
      lanes.alone(2, undefined, task("c")),
      lanes.exclusively(undefined, task("H")),
    ]);
    expect(log).toEqual(["+a", "-a", "+G", "-G", "+b", "+c", "-b", "-c", "+H", "-H"]);
  });

  test("a failure passes the turn on", async () => {
    const lanes = udsLanes();
    const failing = lanes.alone(1, undefined, () => Promise.reject(new Error("no")));
    const next = lanes.alone(1, undefined, task("b"));
    await expect(failing).rejects.toThrow("no");
    expect(await next).toBe("b");
  });

  test("an aborted task does not run, and lets nobody overtake", async () => {
    const lanes = udsLanes();
    const controller = new AbortController();
    const first = lanes.alone(1, undefined, task("a"));
    const aborted = lanes.alone(1, controller.signal, task("b"));
    const last = lanes.alone(1, undefined, task("c"));
    controller.abort(new Error("stop"));
    await expect(aborted).rejects.toThrow("stop");
    await Promise.all([first, last]);
    expect(log).toEqual(["+a", "-a", "+c", "-c"]);
  });
});
