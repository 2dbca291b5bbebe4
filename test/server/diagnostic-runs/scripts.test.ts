import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { DiagnosticSession } from "#protocol/api/diagnostic-session.ts";
import type { ScriptRun, ScriptStepResult } from "#protocol/api/diagnostic-script.ts";
import { toHex } from "#protocol/bytes/hex.ts";
import { demoSecrets, hmacKey } from "#protocol/uds/security-key.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import {
  connect,
  opening,
  operator,
  register,
  type RemoteVehicle,
} from "#test/server/diagnostic-sessions/remote-vehicle.ts";
import { metric } from "#test/server/metric.ts";
import { problemOf } from "#test/server/problem-of.ts";

let gateway: TestGateway;
let ann: Caller & { token_id: string };
let vin: string;
let counter = 0;

beforeAll(async () => {
  gateway = await startGateway({ maintenance: { interval_s: 3600 } });
  ann = await operator(gateway, "ann", "diagnostician");
});
afterAll(() => gateway.close());
beforeEach(async () => {
  vin = `VMG-R${++counter}`;
  await register(gateway, vin);
});

const api = "/api/v1/diagnostics";
const readVin = { steps: [{ request: "22 f1 90", as: "vin" }] };
const run = (script: unknown = readVin, more: object = {}, by: Caller = ann) =>
  by.send("POST", `${api}/scripts`, { body: { vin, ecu_id: "ECU_001", script, ...more } });
const read = async (id: string) =>
  (await ann.send("GET", `${api}/scripts/${id}`)).json as ScriptRun;
const steps = async (id: string) =>
  ((await ann.send("GET", `${api}/scripts/${id}/steps`)).json as { items: ScriptStepResult[] })
    .items;
const unexpected = () =>
  metric(gateway, "mqtt_refused_total", { reason: "DIAGNOSTIC_EVENT_UNEXPECTED" });
const openSession = async (by: Caller = ann) => {
  const body = { vin, ecu_id: "ECU_001" };
  const { json } = await by.send("POST", `${api}/sessions`, { body });
  return json as DiagnosticSession;
};
const step = (script_id: string, seq: number, request = "22F190", response = "62F1904142") =>
  ({ kind: "script_step", script_id, seq, path: "steps/0", request, response }) as const;
const finished = (script_id: string, more: object = {}) =>
  ({
    kind: "script_finished",
    script_id,
    outcome: "completed",
    steps: 1,
    answers: {},
    ...more,
  }) as const;

describe("a script", () => {
  it("goes to the vehicle, its steps are stored, and it ends with its answers", async () => {
    const vehicle = await connect(gateway, vin);
    const script = { steps: [{ request: "22 f1 90", as: "vin" }, { wait_ms: 10 }] };
    const answer = await run(script, { max_s: 60, reason: "end of line" });
    expect(answer.status).toBe(202);
    const { script_id, expires_at } = answer.json as ScriptRun;
    expect(await vehicle.was("run_script")).toEqual({
      kind: "run_script",
      script_id,
      ecu_id: "ECU_001",
      script: { steps: [{ request: "22F190", as: "vin" }, { wait_ms: 10 }] },
      expires_at,
    });
    expect(await read(script_id)).toMatchObject({ status: "sent", operator: "ann", max_s: 60 });
    await vehicle.say({ ...step(script_id, 1), timing: { ecu_ms: 12 } });
    expect(await read(script_id)).toMatchObject({ status: "running" });
    await vehicle.say({ kind: "script_step", script_id, seq: 2, path: "steps/1" });
    const answers = { vin: "62F1904142" };
    await vehicle.say(finished(script_id, { steps: 2, answers }));
    expect(await read(script_id)).toMatchObject({
      status: "completed",
      reason: "end of line",
      steps: 2,
      error: null,
      answers: {
        vin: {
          response_data: "62F1904142",
          decoded: { outcome: "positive", did: { id: "0xF190" } },
        },
      },
      completed_at: expect.any(String) as string,
    });
    expect(await steps(script_id)).toMatchObject([
      {
        seq: 1,
        path: "steps/0",
        request_data: "22F190",
        response_data: "62F1904142",
        decoded: { outcome: "positive" },
        timing: { ecu_ms: 12 },
      },
      { seq: 2, path: "steps/1", request_data: null, decoded: null },
    ]);
  });

  it("is waited for", async () => {
    const vehicle = await connect(gateway, vin);
    vehicle.on((message) => {
      if (message.kind !== "run_script") return;
      const error = { code: "STEP_FAILED", message: "7F2231" };
      void vehicle.say(finished(message.script_id, { outcome: "failed", error }));
    });
    const answer = await run(readVin, { wait_ms: 10_000 });
    expect(answer).toMatchObject({
      status: 201,
      json: { status: "failed", error: { code: "STEP_FAILED" } },
    });
  });

  it("is told to the vehicle when it comes, once it was not there; what it has, never again", async () => {
    const { script_id } = (await run()).json as ScriptRun;
    expect(await read(script_id)).toMatchObject({ status: "queued" });
    const vehicle = await connect(gateway, vin);
    expect(await vehicle.was("run_script")).toMatchObject({ script_id });
    await vi.waitFor(async () => expect(await read(script_id)).toMatchObject({ status: "sent" }));
    await vehicle.client.endAsync(true);
    const back = await connect(gateway, vin);
    const second = (await run()).json as ScriptRun;
    expect(await back.was("run_script")).toMatchObject({ script_id: second.script_id });
    expect(back.told).toHaveLength(1);
  });

  it("may tell of its steps twice and in any order", async () => {
    const vehicle = await connect(gateway, vin);
    const { script_id } = (await run()).json as ScriptRun;
    await vehicle.was("run_script");
    const before = await unexpected();
    for (const seq of [3, 1, 1, 2, 3]) await vehicle.say(step(script_id, seq));
    await vehicle.say({ ...step(script_id, 2), response: "7F2231" });
    await vehicle.say(finished(script_id, { steps: 3 }));
    await vehicle.say(finished(script_id, { outcome: "failed" }));
    expect(await unexpected()).toBe(before);
    expect((await steps(script_id)).map(({ seq, response_data }) => [seq, response_data])).toEqual([
      [1, "62F1904142"],
      [2, "62F1904142"],
      [3, "62F1904142"],
    ]);
    expect(await read(script_id)).toMatchObject({ status: "completed", steps: 3 });
  });

  it("that is none is refused before anybody is asked", async () => {
    const vehicle = await connect(gateway, vin);
    const refused = await run({ steps: [{ request: "22 f1 9" }] });
    expect(problemOf(refused)).toBe("SCRIPT_INVALID");
    expect(refused.json.errors[0].path).toMatch(/^\/script\/steps\/0/);
    expect(problemOf(await run(readVin, { ecu_id: "ECU_009" }))).toBe("ECU_UNKNOWN");
    expect(problemOf(await run(readVin, { max_s: 3601 }))).toBe("REQUEST_INVALID");
    expect(vehicle.told).toEqual([]);
    const nobody = "00000000-0000-7000-8000-000000000000";
    expect(problemOf(await ann.send("GET", `${api}/scripts/${nobody}`))).toBe("SCRIPT_UNKNOWN");
    expect(problemOf(await ann.send("DELETE", `${api}/scripts/${nobody}`))).toBe("SCRIPT_UNKNOWN");
  });

  it("is allowed by every request that it could send, also those of its keys and its cleanup", async () => {
    await connect(gateway, vin);
    const eve = await operator(gateway, "eve", "diagnostician", { diagnostic_level: "write" });
    const allowed = { steps: [{ request: "2EF1980102" }], cleanup: [{ request: "1001" }] };
    expect((await run(allowed, {}, eve)).status).toBe(202);
    for (const hidden of [{ request: "1101" }, { unlock: 1 }, { authenticate: true }]) {
      expect(problemOf(await run({ ...allowed, cleanup: [hidden] }, {}, eve))).toBe(
        "DIAGNOSTIC_DENIED",
      );
      const inside = { if: { answer: "vin" }, then: [hidden] };
      expect(problemOf(await run({ steps: [...readVin.steps, inside] }, {}, eve))).toBe(
        "DIAGNOSTIC_DENIED",
      );
    }
  });

  it("is listed by vehicle, operator and status", async () => {
    await connect(gateway, vin);
    const [one, two] = [(await run()).json, (await run(readVin, {}, gateway.admin)).json];
    const list = async (query: string) =>
      (
        (await ann.send("GET", `${api}/scripts?vin=${vin}&${query}`)).json as {
          items: ScriptRun[];
        }
      ).items.map(({ script_id }) => script_id);
    expect(await list("")).toEqual([two.script_id, one.script_id]);
    expect(await list("operator=ann")).toEqual([one.script_id]);
    expect(await list("status=completed")).toEqual([]);
  });
});

describe("a session", () => {
  it("keeps out scripts that are not its own, and goes along with those that are", async () => {
    const vehicle = opening(await connect(gateway, vin));
    const { session_id } = await openSession();
    expect(problemOf(await run())).toBe("ECU_LOCKED");
    expect(problemOf(await run(readVin, { session_id }, gateway.admin))).toBe("SESSION_OF_ANOTHER");
    const elsewhere = await run(readVin, { session_id, ecu_id: "ECU_002" });
    expect(problemOf(elsewhere)).toBe("SESSION_UNKNOWN");
    const { script_id } = (await run(readVin, { session_id })).json as ScriptRun;
    expect(await vehicle.was("run_script")).toMatchObject({ script_id, session_id });
    await ann.send("DELETE", `${api}/sessions/${session_id}`);
    expect(await vehicle.was("cancel_script")).toEqual({ kind: "cancel_script", script_id });
    await vehicle.say(finished(script_id, { outcome: "cancelled" }));
    expect(await read(script_id)).toMatchObject({
      status: "cancelled",
      cancelled_by: "operator:ann",
    });
    expect(problemOf(await run(readVin, { session_id }))).toBe("SESSION_ENDED");
  });
});

describe("a run that is to end", () => {
  it("is cancelled by its operator; the vehicle says when its cleanup is done", async () => {
    const vehicle = await connect(gateway, vin);
    const { script_id } = (await run()).json as ScriptRun;
    await vehicle.was("run_script");
    await vehicle.say(step(script_id, 1));
    const bob = await operator(gateway, "bob", "diagnostician");
    const stop = (by: Caller, wait_ms = 0) =>
      by.send("DELETE", `${api}/scripts/${script_id}?wait_ms=${wait_ms}`);
    expect(problemOf(await stop(bob))).toBe("SESSION_OF_ANOTHER");
    expect((await stop(ann)).json).toMatchObject({
      status: "running",
      cancelled_by: "operator:ann",
    });
    await vehicle.was("cancel_script");
    // Told again when it comes back before it has said so.
    await vehicle.client.endAsync(true);
    const back = await connect(gateway, vin);
    expect(await back.was("cancel_script")).toEqual({ kind: "cancel_script", script_id });
    back.on((message) => {
      if (message.kind === "cancel_script")
        void back.say(finished(script_id, { outcome: "cancelled", steps: 2 }));
    });
    expect((await stop(ann, 10_000)).json).toMatchObject({ status: "cancelled", steps: 2 });
  });

  it("that no vehicle has got is cancelled at once", async () => {
    const { script_id } = (await run()).json as ScriptRun;
    const { json } = await ann.send("DELETE", `${api}/scripts/${script_id}`);
    expect(json).toMatchObject({ status: "cancelled", cancelled_by: "operator:ann" });
    const vehicle = await connect(gateway, vin);
    const next = (await run()).json as ScriptRun;
    expect(await vehicle.was("run_script")).toMatchObject({ script_id: next.script_id });
    expect(vehicle.told.filter(({ kind }) => kind === "run_script")).toHaveLength(1);
  });

  it("ends at once in an emergency and with its token; what the vehicle adds is kept", async () => {
    const vehicle = await connect(gateway, vin);
    const carl = await operator(gateway, "carl", "diagnostician");
    const [one, two] = [await run(), await run(readVin, {}, carl)].map(
      ({ json }) => (json as ScriptRun).script_id,
    ) as [string, string];
    await vehicle.was("run_script", 2);
    await gateway.admin.send("DELETE", `/api/v1/operators/tokens/${carl.token_id}`);
    expect(await read(two)).toMatchObject({ status: "cancelled", error: { code: "REVOKED" } });
    expect(await vehicle.was("cancel_script")).toMatchObject({ script_id: two });
    expect(await read(one)).toMatchObject({ status: "sent" });
    const body = { vin, reason: "smoke" };
    await gateway.admin.send("POST", `${api}/revoke`, { body });
    expect(await read(one)).toMatchObject({ status: "cancelled", error: { code: "REVOKED" } });
    await vehicle.was("revoke");
    await vehicle.say(step(one, 1));
    await vehicle.say(finished(one, { answers: { vin: "62F1904142" } }));
    expect(await read(one)).toMatchObject({
      status: "cancelled",
      error: { code: "REVOKED" },
      answers: { vin: { response_data: "62F1904142" } },
    });
    expect(await steps(one)).toHaveLength(1);
  });
});

describe("keys", () => {
  async function unlocking(): Promise<[RemoteVehicle, string]> {
    const vehicle = await connect(gateway, vin);
    const { script_id } = (await run({ steps: [{ unlock: 3 }, { authenticate: true }] }))
      .json as ScriptRun;
    await vehicle.was("run_script");
    return [vehicle, script_id];
  }
  const challenge = (script_id: string, more: object = {}) => ({
    kind: "challenge" as const,
    script_id,
    challenge_id: "00000000-0000-7000-8000-00000000000c",
    ecu_id: "ECU_001",
    service: 0x27 as const,
    level: 3,
    response: `6703${"5A".repeat(16)}`,
    ...more,
  });

  it("are computed for a seed, and neither is kept", async () => {
    const [vehicle, script_id] = await unlocking();
    const key = toHex(hmacKey(demoSecrets)(3, Buffer.alloc(16, 0x5a)));
    await vehicle.say(challenge(script_id));
    expect(await vehicle.was("proof")).toEqual({
      kind: "proof",
      script_id,
      challenge_id: "00000000-0000-7000-8000-00000000000c",
      request: `2704${key}`,
    });
    await vehicle.say({ ...step(script_id, 1, "2703", `6703${"5A".repeat(16)}`) });
    await vehicle.say({ ...step(script_id, 2, `2704${key}`, "6704") });
    expect(
      (await steps(script_id)).map(({ request_data, response_data }) => [
        request_data,
        response_data,
      ]),
    ).toEqual([
      ["2703", "6703"],
      ["2704", "6704"],
    ]);
    const audit = await gateway.admin.send("GET", `/api/v1/audit?vin=${vin}&limit=500`);
    const everything = JSON.stringify([gateway.log, audit.json]).toUpperCase();
    expect(everything).toContain('"ACTION":"SCRIPT.STEP"');
    expect(everything).not.toContain(key);
    expect(everything).not.toContain("5A".repeat(16));
  });

  it("prove by certificate who is asking", async () => {
    const [vehicle, script_id] = await unlocking();
    const none = { service: 0x29 as const, level: undefined };
    await vehicle.say(challenge(script_id, { ...none, response: "" }));
    const first = await vehicle.was("proof");
    expect(first.request).toMatch(/^290100/);
    const wanted = `6901110020${"AB".repeat(32)}0000`;
    await vehicle.say(challenge(script_id, { ...none, response: wanted }));
    expect((await vehicle.was("proof", 2)).request).toMatch(/^2903/);
    // Nothing is signed that is too short, or none at all.
    await vehicle.say(challenge(script_id, { ...none, response: "6901110004ABABABAB0000" }));
    expect((await vehicle.was("proof", 3)).error).toMatch(/^KEY_UNAVAILABLE/);
    await vehicle.say(challenge(script_id, { ...none, response: "7F2950" }));
    expect((await vehicle.was("proof", 4)).error).toMatch(/^KEY_UNAVAILABLE/);
  });

  it("are not computed for what no script asks for, nor for a level without one", async () => {
    const [vehicle, script_id] = await unlocking();
    const before = await unexpected();
    await vehicle.say(challenge(script_id, { level: 1, response: `6701${"5A".repeat(16)}` }));
    await vehicle.say(challenge(script_id, { ecu_id: "ECU_002" }));
    await vehicle.say(challenge("00000000-0000-7000-8000-000000000000"));
    expect(await unexpected()).toBe(before + 3);
    await vehicle.say(challenge(script_id, { response: `6705${"5A".repeat(16)}` }));
    expect((await vehicle.was("proof")).error).toMatch(/^KEY_UNAVAILABLE/);
    await vehicle.say(finished(script_id));
    await vehicle.say(challenge(script_id));
    expect(await unexpected()).toBe(before + 4);
    expect(vehicle.told.filter(({ kind }) => kind === "proof")).toHaveLength(1);
    const { script_id: other } = (await run({ steps: [{ unlock: 0x7d }] })).json as ScriptRun;
    await vehicle.was("run_script", 2);
    await vehicle.say(challenge(other, { level: 0x7d, response: "677D5A" }));
    expect((await vehicle.was("proof", 2)).error).toMatch(/no key for level 125/);
  });

  it("unlock and authenticate a session in one call", async () => {
    const vehicle = opening(await connect(gateway, vin));
    const { session_id } = await openSession();
    vehicle.on((message) => {
      if (message.kind === "run_script") void vehicle.say(finished(message.script_id));
    });
    const path = `${api}/sessions/${session_id}`;
    const unlocked = await ann.send("POST", `${path}/unlock`, { body: { level: 3 } });
    expect(unlocked).toMatchObject({ status: 201, json: { status: "completed", session_id } });
    expect((await vehicle.was("run_script")).script).toEqual({ steps: [{ unlock: 3 }] });
    await ann.send("POST", `${path}/authenticate`, { body: {} });
    expect((await vehicle.was("run_script", 2)).script).toEqual({
      steps: [{ authenticate: true }],
    });
    const even = await ann.send("POST", `${path}/unlock`, { body: { level: 4 } });
    expect(problemOf(even)).toBe("SCRIPT_INVALID");
  });
});

describe("an event of a script", () => {
  it("of another vehicle, or of nobody, is refused and counted, and changes nothing", async () => {
    const vehicle = await connect(gateway, vin);
    const { script_id } = (await run()).json as ScriptRun;
    await vehicle.was("run_script");
    const stranger = `VMG-R${++counter}`;
    await register(gateway, stranger);
    const other = await connect(gateway, stranger);
    const nobody = "00000000-0000-7000-8000-000000000000";
    const before = await unexpected();
    await other.say(step(script_id, 1));
    await other.say(finished(script_id));
    await other.say(step(nobody, 1));
    await other.say(finished(nobody));
    await vehicle.say(step(script_id, 1_000_000));
    expect(await unexpected()).toBe(before + 5);
    expect(await steps(script_id)).toEqual([]);
    expect(await read(script_id)).toMatchObject({ status: "sent" });
  });
});
