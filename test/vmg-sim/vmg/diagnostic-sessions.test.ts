import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { DiagnosticControl } from "#protocol/mqtt/diagnostic-control.ts";
import type { DiagnosticRequest } from "#protocol/mqtt/diagnostics.ts";
import { manualClock } from "#test/protocol/doip/manual-clock.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { remoteRig, type RemoteRigOptions } from "./remote-rig.ts";

type Opening = Extract<DiagnosticControl, { kind: "open_session" }>;

const opening = (change: Partial<Opening> = {}): Opening => ({
  kind: "open_session",
  session_id: randomUUID(),
  ecu_id: "ECU_001",
  uds_session: 0x03,
  lease_ms: 60_000,
  expires_at: new Date(Date.now() + 3_600_000).toISOString(),
  ...change,
});

const read = (change: Partial<DiagnosticRequest> = {}): DiagnosticRequest => ({
  request_id: randomUUID(),
  ...(change.zone_id === undefined && { ecu_id: "ECU_001" }),
  service_id: "0x22",
  data: "F186",
  timeout_ms: 2000,
  attempt: 1,
  ...change,
});

const IN_DEFAULT = "62F18601";
const IN_EXTENDED = "62F18603";

async function setUp(options: RemoteRigOptions = {}) {
  const clock = manualClock();
  const rig = await remoteRig({ clock, ...options });
  /** Lets time pass, beat by beat; what is sent on a beat arrives before the next one. */
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= 1_000) {
      clock.advance(Math.min(left, 1_000));
      for (let i = 0; i < 3; i++) await rig.ask("ECU_002", "3E00");
    }
  };
  /** Lets time pass, slowly enough for what is under way, until it has happened. */
  const until = async <Value>(happening: Promise<Value>): Promise<Value> => {
    let happened = false;
    void happening.finally(() => (happened = true));
    while (!happened) {
      clock.advance(40);
      await rig.ask("ECU_002", "3E00");
    }
    return happening;
  };
  const open = async (change: Partial<Opening> = {}) => {
    const control = opening(change);
    await rig.diagnostics.handleControl(control);
    await rig.heard("session_opened");
    return control;
  };
  return { ...rig, pass, until, open };
}

describe("a diagnostic session", () => {
  it("holds the ECU in its UDS session, however long nothing is asked", async () => {
    const { open, heard, pass, ask } = await setUp();
    const { session_id } = await open();
    expect(await heard("session_opened")).toMatchObject({ session_id, response: "5003003201F4" });
    await pass(20_000);
    expect(await ask("ECU_001", "22F186")).toBe(IN_EXTENDED);
  });

  it("keeps the tester present while a request takes its time", async () => {
    const { open, diagnostics, hardware, until, network, responded, heard } = await setUp();
    const { session_id } = await open();
    const link = network.zones[0]?.link;
    if (!link) throw new Error("no zone");
    const tell = link.tell.bind(link);
    let beats = 0;
    link.tell = async (target, request) => {
      await tell(target, request);
      beats += 1;
    };
    hardware.zones[0]?.ecus[0]?.setBehaviour({ slowMs: 9_000 });
    await diagnostics.handleRequest(read({ session_id, timeout_ms: 30_000 }));
    await until(responded(1));
    expect(beats).toBeGreaterThanOrEqual(4);
    expect(await responded(1)).toMatchObject([{ response_data: IN_EXTENDED }]);
    expect((await responded(1))[0]?.timing?.pending_count).toBeGreaterThan(1);
    await diagnostics.handleControl({ kind: "close_session", session_id });
    await until(heard("session_ended"));
  });

  it("ends when it is not renewed, and the ECU is back in its default session", async () => {
    const { open, pass, heard, ask, diagnostics, told } = await setUp();
    const { session_id } = await open({ lease_ms: 10_000 });
    await pass(8_000);
    await diagnostics.handleControl({ kind: "renew_session", session_id, lease_ms: 10_000 });
    await pass(8_000);
    expect(told).toHaveLength(1);
    await pass(3_000);
    expect(await heard("session_ended")).toMatchObject({ session_id, reason: "lease_expired" });
    expect(await ask("ECU_001", "22F186")).toBe(IN_DEFAULT);
  });

  it("ends when its time is over, however often it is renewed", async () => {
    const { open, pass, heard, diagnostics } = await setUp();
    const expires_at = new Date(Date.now() + 20_000).toISOString();
    const { session_id } = await open({ expires_at });
    await pass(15_000);
    await diagnostics.handleControl({ kind: "renew_session", session_id, lease_ms: 60_000 });
    await pass(6_000);
    expect(await heard("session_ended")).toMatchObject({ session_id, reason: "time_over" });
  });

  it("is opened and closed once, and says so as often as it is asked", async () => {
    const { open, heard, diagnostics, ask, told } = await setUp();
    const control = await open();
    const { session_id } = control;
    await diagnostics.handleControl(control);
    await heard("session_opened", 2);
    await diagnostics.handleControl({ kind: "close_session", session_id });
    expect(await heard("session_ended")).toMatchObject({ session_id, reason: "closed" });
    expect(await ask("ECU_001", "22F186")).toBe(IN_DEFAULT);
    await diagnostics.handleControl(control);
    await diagnostics.handleControl({ kind: "close_session", session_id });
    await diagnostics.handleControl({ kind: "renew_session", session_id, lease_ms: 5000 });
    expect(told.slice(2)).toMatchObject(Array.from({ length: 4 }, () => ({ reason: "closed" })));
    expect(await ask("ECU_001", "22F186")).toBe(IN_DEFAULT);
  });

  it("takes its own requests and no others", async () => {
    const { open, diagnostics, responded } = await setUp();
    const { session_id } = await open();
    const other = randomUUID();
    await diagnostics.handleRequest(read({ session_id }));
    await responded(1);
    await diagnostics.handleRequest(read());
    await diagnostics.handleRequest(read({ zone_id: "ZG-FRONT" }));
    await diagnostics.handleRequest(read({ session_id: other }));
    await diagnostics.handleRequest(read({ session_id, ecu_id: "ECU_002" }));
    await diagnostics.handleRequest(read({ session_id, zone_id: "ZG-FRONT" }));
    const answers = await responded(6);
    expect(answers[0]).toMatchObject({ response_data: IN_EXTENDED });
    expect(answers.slice(1).map(({ error }) => error?.code)).toEqual([
      "ECU_IN_SESSION",
      "ECU_IN_SESSION",
      "SESSION_UNKNOWN",
      "SESSION_UNKNOWN",
      "SESSION_UNKNOWN",
    ]);
  });

  it("is the only one of its ECU, until it is over", async () => {
    const { open, diagnostics, heard, ask } = await setUp();
    const { session_id } = await open();
    const second = opening();
    await diagnostics.handleControl(second);
    expect(await heard("session_ended")).toMatchObject({
      session_id: second.session_id,
      reason: "refused",
      error: { code: "ECU_IN_SESSION" },
    });
    await diagnostics.handleControl({ kind: "close_session", session_id });
    const third = opening();
    await diagnostics.handleControl(third);
    expect(await heard("session_opened", 2)).toMatchObject({ session_id: third.session_id });
    expect(await ask("ECU_001", "22F186")).toBe(IN_EXTENDED);
  });

  it.each([
    ["an ECU that the vehicle has not", { ecu_id: "ECU_999" }, { error: { code: "ECU_UNKNOWN" } }],
    ["programming", { uds_session: 2 }, { error: { code: "PROGRAMMING_REFUSED" } }],
    ["a session that the ECU has not", { uds_session: 0x44 }, { response: "7F1012" }],
  ])("is refused for %s", async (_, change, expected) => {
    const { diagnostics, heard } = await setUp();
    await diagnostics.handleControl(opening(change));
    expect(await heard("session_ended")).toMatchObject({ reason: "refused", ...expected });
  });

  it("is refused in a vehicle that moves, in which the ECU is not even asked", async () => {
    const { diagnostics, heard, conditions, ask } = await setUp();
    conditions.set({ speed_kmh: 30, gear: "D" });
    await diagnostics.handleControl(opening());
    expect(await heard("session_ended")).toMatchObject({
      reason: "refused",
      response: "7F1088",
      interlock: "stationary",
    });
    expect(await ask("ECU_001", "22F186")).toBe(IN_DEFAULT);
  });

  it("gives way to an update, and no other is opened meanwhile", async () => {
    const { open, diagnostics, heard, ask, busy } = await setUp();
    await open();
    await diagnostics.release(["ECU_002"]);
    expect(await ask("ECU_001", "22F186")).toBe(IN_EXTENDED);
    await diagnostics.release(["ECU_001"]);
    expect(await heard("session_ended")).toMatchObject({ reason: "update_started" });
    expect(await ask("ECU_001", "22F186")).toBe(IN_DEFAULT);
    busy.add("ECU_001");
    await diagnostics.handleControl(opening());
    expect(await heard("session_ended", 2)).toMatchObject({ error: { code: "VEHICLE_BUSY" } });
  });

  it("ends at once when remote diagnostics is revoked, and so do requests that wait", async () => {
    const { open, diagnostics, heard, hardware, responded, until, ask } = await setUp();
    const { session_id } = await open();
    hardware.zones[0]?.ecus[0]?.setBehaviour({ slowMs: 1_000 });
    await diagnostics.handleRequest(read({ session_id }));
    await diagnostics.handleRequest(read({ session_id }));
    await ask("ECU_002", "3E00");
    await diagnostics.handleControl({ kind: "revoke", reason: "a token was stolen" });
    expect(await responded(1)).toMatchObject([
      { error: { code: "REVOKED", message: "a token was stolen" } },
    ]);
    // What the ECU has begun it finishes, and its answer is handed on.
    expect((await until(responded(2)))[1]).toMatchObject({ response_data: IN_EXTENDED });
    await until(heard("session_ended"));
    expect(await heard("session_ended")).toMatchObject({ reason: "revoked" });
    hardware.zones[0]?.ecus[0]?.setBehaviour({});
    expect(await ask("ECU_001", "22F186")).toBe(IN_DEFAULT);
  });

  it("does not outlive a restart of the VMG, which says so", async () => {
    const folder = testFolder();
    const first = await setUp({ folder });
    const control = await first.open();
    const second = await setUp({ folder });
    await second.diagnostics.resume();
    const { session_id } = control;
    expect(second.told).toMatchObject([{ session_id, reason: "vehicle_restarted" }]);
    await second.diagnostics.handleControl(control);
    expect(second.told).toHaveLength(2);
    const third = await setUp({ folder });
    await third.diagnostics.resume();
    expect(third.told).toEqual([]);
  });

  it("is left in the default session when the VMG stops, and reported by the next one", async () => {
    const folder = testFolder();
    const first = await setUp({ folder });
    await first.open();
    await first.diagnostics.stop();
    expect(await first.ask("ECU_001", "22F186")).toBe(IN_DEFAULT);
    expect(first.told).toHaveLength(1);
    const second = await setUp({ folder });
    await second.diagnostics.resume();
    expect(second.told).toMatchObject([{ reason: "vehicle_restarted" }]);
  });
});

describe("remote diagnostics", () => {
  it("gives up a request that waits, not one that the ECU works on", async () => {
    const { diagnostics, responded, hardware, until, ask } = await setUp();
    hardware.zones[0]?.ecus[0]?.setBehaviour({ slowMs: 500 });
    const [running, waiting] = [read(), read({ service_id: "0x14", data: "FFFFFF" })];
    await diagnostics.handleRequest(running);
    await diagnostics.handleRequest(waiting);
    await ask("ECU_002", "3E00");
    for (const { request_id } of [running, waiting]) {
      await diagnostics.handleControl({ kind: "cancel_request", request_id });
    }
    expect(await responded(1)).toMatchObject([
      { request_id: waiting.request_id, error: { code: "CANCELLED" } },
    ]);
    expect((await until(responded(2)))[1]).toMatchObject({ response_data: IN_DEFAULT });
    await diagnostics.handleRequest({ ...waiting, attempt: 2 });
    expect((await responded(3))[2]).toMatchObject({ error: { code: "CANCELLED" } });
  });

  it("answers in the ECU's place what must not happen now, to one and to all", async () => {
    const { diagnostics, responded, conditions, ask } = await setUp();
    conditions.set({ gear: "N" });
    const control = { service_id: "0x10", data: "03" };
    await diagnostics.handleRequest(read(control));
    await diagnostics.handleRequest(read({ ...control, zone_id: "ZG-REAR" }));
    const answers = await responded(2);
    expect(answers[0]).toMatchObject({
      success: true,
      response_data: "7F1090",
      interlock: "in_park",
    });
    expect(answers[1]).toMatchObject({
      success: true,
      interlock: "in_park",
      responses: [
        { ecu_id: "ECU_003", response_data: "7F1090" },
        { ecu_id: "ECU_004", response_data: "7F1090" },
      ],
    });
    expect(await ask("ECU_001", "22F186")).toBe(IN_DEFAULT);
    expect(await ask("ECU_003", "22F186")).toBe(IN_DEFAULT);
  });

  it("looks at the vehicle when it is a request's turn, not when it came", async () => {
    const { diagnostics, responded, conditions, hardware, until, ask } = await setUp();
    hardware.zones[0]?.ecus[0]?.setBehaviour({ slowMs: 500 });
    await diagnostics.handleRequest(read());
    await diagnostics.handleRequest(read({ service_id: "0x10", data: "03" }));
    await ask("ECU_002", "3E00");
    conditions.set({ gear: "D", speed_kmh: 5 });
    expect((await until(responded(2)))[1]).toMatchObject({ interlock: "stationary" });
  });

  it("says where the time went", async () => {
    const { diagnostics, responded } = await setUp();
    await diagnostics.handleRequest(read());
    const [answered] = await responded(1);
    expect(answered?.timing).toEqual({ queue_ms: 0, doip_ack_ms: 0, ecu_ms: 0, pending_count: 0 });
  });

  it("takes no control message that it can't read", async () => {
    const { diagnostics, told } = await setUp();
    await diagnostics.handleControl({ kind: "open_session", session_id: "1" });
    await diagnostics.handleControl({ kind: "explode" });
    await diagnostics.handleControl("text");
    expect(told).toEqual([]);
  });
});
