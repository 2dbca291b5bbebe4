/* oxlint-disable unicorn/no-thenable -- a script's word for what follows */
import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { DiagnosticControl } from "#protocol/mqtt/diagnostic-control.ts";
import type { DiagnosticScript, ScriptStep } from "#protocol/mqtt/diagnostic-script.ts";
import { demoSecrets, hmacKey } from "#protocol/uds/security-key.ts";
import { manualClock } from "#test/protocol/doip/manual-clock.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { remoteRig, type RemoteRigOptions } from "./remote-rig.ts";

type RunScript = Extract<DiagnosticControl, { kind: "run_script" }>;

const running = (script: DiagnosticScript, change: Partial<RunScript> = {}): RunScript => ({
  kind: "run_script",
  script_id: randomUUID(),
  ecu_id: "ECU_001",
  script,
  expires_at: new Date(Date.now() + 600_000).toISOString(),
  ...change,
});

const EXTENDED: ScriptStep = { request: "1003" };
const SESSION: ScriptStep = { request: "22F186", as: "session" };
const IN_DEFAULT = "62F18601";
const IN_EXTENDED = "62F18603";

async function setUp(options: RemoteRigOptions = {}) {
  const clock = manualClock();
  const rig = await remoteRig({ clock, ...options });
  /** Lets time pass, slowly enough for what is under way, until it has happened. */
  const until = async <Value>(happening: Promise<Value>): Promise<Value> => {
    let happened = false;
    void happening.finally(() => (happened = true));
    while (!happened) {
      clock.advance(200);
      for (let i = 0; i < 3; i++) await rig.ask("ECU_002", "3E00");
    }
    return happening;
  };
  const steps = () => rig.told.filter((event) => event.kind === "script_step");
  /** Runs a script and waits for its end. */
  const run = async (script: DiagnosticScript, change: Partial<RunScript> = {}) => {
    const control = running(script, change);
    const before = rig.told.filter(({ kind }) => kind === "script_finished").length;
    await rig.diagnostics.handleControl(control);
    return rig.heard("script_finished", before + 1);
  };
  return { ...rig, clock, until, steps, run };
}

describe("a script in the vehicle", () => {
  it("asks step by step, tells of each, and returns the answers that have a name", async () => {
    const { run, steps, ask, until } = await setUp();
    const finished = await until(run({ steps: [EXTENDED, SESSION, { request: "3E80" }] }));
    expect(finished).toMatchObject({
      outcome: "completed",
      steps: 3,
      answers: { session: IN_EXTENDED },
    });
    expect(steps()).toMatchObject([
      { seq: 1, path: "steps/0", request: "1003", response: "5003003201F4" },
      { seq: 2, path: "steps/1", request: "22F186", response: IN_EXTENDED },
      { seq: 3, path: "steps/2", request: "3E80", response: "" },
    ]);
    expect(steps()[1]?.timing).toMatchObject({ pending_count: 0 });
    // Nobody's session: the ECU is left as it was found.
    expect(await ask("ECU_001", "22F186")).toBe(IN_DEFAULT);
  });

  it.each<[string, ScriptStep, object]>([
    ["a negative answer", { request: "22FFFF" }, { code: "SCRIPT_STEP_FAILED" }],
    ["another answer", { request: "22F186", expect: "62F18603" }, { code: "SCRIPT_STEP_FAILED" }],
    ["its own decision", { fail: "wrong supplier" }, { message: "wrong supplier" }],
    ["programming", { request: "1002", expect: "any" }, { code: "PROGRAMMING_REFUSED" }],
  ])("fails for %s, and cleans up", async (_, step, error) => {
    const { run, steps } = await setUp();
    const cleanup = [{ request: "22FFFF" }, { fail: "no" }, SESSION];
    const finished = await run({ steps: [step, EXTENDED], cleanup });
    expect(finished).toMatchObject({ outcome: "failed", error });
    const paths = steps().map(({ path }) => path);
    expect(paths.filter((path) => !path.startsWith("steps/0"))).toEqual(["cleanup/0", "cleanup/2"]);
    expect(finished.answers).toEqual({ session: IN_DEFAULT });
  });

  it("decides and repeats by the answers so far", async () => {
    const { run, steps } = await setUp();
    const finished = await run({
      steps: [
        { request: "22FFFF", as: "unknown", expect: "any" },
        {
          if: { answer: "unknown", is: "31" },
          then: [{ request: "3E00", as: "then" }],
          else: [{ fail: "else" }],
        },
        { if: { answer: "unknown", is: "positive" }, then: [{ fail: "then" }] },
        {
          repeat: { times: 9, until: { answer: "session", offset: 3, equals: "03" } },
          steps: [SESSION, { if: { answer: "session", equals: IN_DEFAULT }, then: [EXTENDED] }],
        },
      ],
    });
    expect(finished).toMatchObject({ outcome: "completed", steps: 5, answers: { then: "7E00" } });
    expect(steps().map(({ path }) => path)).toEqual([
      "steps/0",
      "steps/1/then/0",
      "steps/3/steps/0",
      "steps/3/steps/1/then/0",
      "steps/3/steps/0",
    ]);
  });

  it("waits as long as it is told, and keeps up the session that it has entered", async () => {
    const { run, until, clock } = await setUp();
    const began = clock.now();
    const repeat = { times: 3, every_ms: 4_000 };
    const finished = await until(
      run({ steps: [EXTENDED, { wait_ms: 9_000 }, { repeat, steps: [SESSION] }] }),
    );
    expect(finished).toMatchObject({ outcome: "completed", answers: { session: IN_EXTENDED } });
    expect(clock.now() - began).toBeGreaterThanOrEqual(17_000);
  });

  it("unlocks an ECU with a key that only the gateway can make", async () => {
    const { diagnostics, heard, told, run } = await setUp();
    const control = running({ steps: [EXTENDED, { unlock: 1 }, { unlock: 1 }] });
    await diagnostics.handleControl(control);
    const challenge = await heard("challenge");
    expect(challenge).toMatchObject({ ecu_id: "ECU_001", service: 0x27, level: 1 });
    const seed = Buffer.from(challenge.response, "hex").subarray(2);
    const key = Buffer.from(hmacKey(demoSecrets)(1, seed)).toString("hex").toUpperCase();
    const { script_id } = control;
    const { challenge_id } = challenge;
    const proof = { kind: "proof" as const, script_id, challenge_id, request: `2702${key}` };
    await diagnostics.handleControl(proof);
    expect(await heard("script_finished")).toMatchObject({ outcome: "completed", steps: 4 });
    // The second time the seed says that there is nothing to unlock.
    expect(told.filter(({ kind }) => kind === "challenge")).toHaveLength(1);

    void run({ steps: [EXTENDED, { unlock: 1 }] }, { script_id: randomUUID() });
    const second = await heard("challenge", 2);
    const none = { script_id: second.script_id, challenge_id: second.challenge_id };
    await diagnostics.handleControl({ kind: "proof", ...none, error: "no key for this ECU" });
    expect(await heard("script_finished", 2)).toMatchObject({
      outcome: "failed",
      error: { code: "SCRIPT_PROOF_MISSING", message: "no key for this ECU" },
    });
  });

  it("does not wait for a key for ever, and sends nothing else for one", async () => {
    const { diagnostics, heard, until, steps } = await setUp();
    const script = { steps: [EXTENDED, { unlock: 1 }], cleanup: [SESSION] };
    await diagnostics.handleControl(running(script));
    expect(await until(heard("script_finished"))).toMatchObject({
      error: { code: "SCRIPT_PROOF_MISSING" },
      answers: { session: IN_EXTENDED },
    });
    await diagnostics.handleControl(running(script));
    const { script_id, challenge_id } = await heard("challenge", 2);
    const request = "1101";
    await diagnostics.handleControl({ kind: "proof", script_id, challenge_id, request });
    expect(await heard("script_finished", 2)).toMatchObject({ outcome: "failed" });
    expect(steps().every(({ request: asked }) => asked !== "1101")).toBe(true);
  });

  it("is cancelled, and cleans up", async () => {
    const { diagnostics, heard, until } = await setUp();
    const control = running({ steps: [EXTENDED, { wait_ms: 60_000 }], cleanup: [SESSION] });
    await diagnostics.handleControl(control);
    await heard("script_step");
    await diagnostics.handleControl({ kind: "cancel_script", script_id: control.script_id });
    expect(await until(heard("script_finished"))).toMatchObject({
      outcome: "cancelled",
      answers: { session: IN_EXTENDED },
    });
  });

  it("ends when its time is over, and cleans up", async () => {
    const { run, until } = await setUp();
    const expires_at = new Date(Date.now() + 5_000).toISOString();
    const script = { steps: [{ wait_ms: 60_000 }], cleanup: [SESSION] };
    expect(await until(run(script, { expires_at }))).toMatchObject({
      outcome: "expired",
      answers: { session: IN_DEFAULT },
    });
  });

  it("cleans up in a session that ends, before the ECU leaves it", async () => {
    const { diagnostics, heard, until } = await setUp();
    const session_id = randomUUID();
    const expires_at = new Date(Date.now() + 600_000).toISOString();
    const opening = { session_id, ecu_id: "ECU_001", uds_session: 3, lease_ms: 5000, expires_at };
    await diagnostics.handleControl({ kind: "open_session", ...opening });
    await heard("session_opened");
    const script = { steps: [SESSION, { wait_ms: 60_000 }], cleanup: [SESSION] };
    await diagnostics.handleControl(running(script));
    expect(await heard("script_finished")).toMatchObject({ error: { code: "ECU_IN_SESSION" } });
    await diagnostics.handleControl(running(script, { session_id }));
    expect(await until(heard("script_finished", 2))).toMatchObject({
      outcome: "cancelled",
      answers: { session: IN_EXTENDED },
      error: { message: "its session has ended: lease_expired" },
    });
    expect(await heard("session_ended")).toMatchObject({ reason: "lease_expired" });
  });

  it("makes room for an update, whose ECU is then in its default session", async () => {
    const { diagnostics, heard, until, ask } = await setUp();
    await diagnostics.handleControl(running({ steps: [EXTENDED, { wait_ms: 60_000 }] }));
    await heard("script_step");
    await until(diagnostics.release(["ECU_001"]));
    expect(await ask("ECU_001", "22F186")).toBe(IN_DEFAULT);
    expect(await heard("script_finished")).toMatchObject({ outcome: "cancelled" });
  });

  it("is revoked, with little time for its cleanup", async () => {
    const { diagnostics, heard, until, steps } = await setUp();
    const cleanup = [SESSION, { wait_ms: 30_000 }, { request: "3E00" }];
    await diagnostics.handleControl(running({ steps: [EXTENDED, { wait_ms: 60_000 }], cleanup }));
    await heard("script_step");
    await diagnostics.handleControl({ kind: "revoke", reason: "a token was stolen" });
    expect(await until(heard("script_finished"))).toMatchObject({
      outcome: "cancelled",
      error: { code: "REVOKED", message: "a token was stolen" },
    });
    const paths = steps().map(({ path }) => path);
    expect(paths).toContain("cleanup/0");
    expect(paths).not.toContain("cleanup/2");
  });

  it("cleans up also while the gateway is away, and tells of it in order afterwards", async () => {
    const { diagnostics, told, until, offline, ask, heard, steps } = await setUp();
    const back = Promise.withResolvers<void>();
    offline.current = back.promise;
    const script = {
      steps: [EXTENDED, { repeat: { times: 1000 }, steps: [{ request: "3E00" }] }],
      cleanup: [{ request: "1001" }, { request: "14FFFFFF" }],
    };
    const control = running(script, { expires_at: new Date(Date.now() + 5_000).toISOString() });
    await diagnostics.handleControl(control);
    const cleaned = async () => {
      while (!steps().some(({ path }) => path === "cleanup/1")) await ask("ECU_002", "3E00");
    };
    await until(cleaned());
    // It went no further than what may wait for the gateway.
    expect(steps().length).toBeLessThan(100);
    expect(told.every(({ kind }) => kind === "script_step")).toBe(true);
    back.resolve();
    expect(await heard("script_finished")).toMatchObject({ outcome: "expired" });
    expect(steps().map(({ seq }) => seq)).toEqual(steps().map((_, index) => index + 1));
  });

  it("sends nothing that the interlocks forbid, in the cleanup neither", async () => {
    const { run, conditions, steps } = await setUp();
    conditions.set({ gear: "D", speed_kmh: 20 });
    const cleanup = [{ request: "1101" }];
    const finished = await run({ steps: [{ request: "22F186" }, EXTENDED], cleanup });
    expect(finished).toMatchObject({ outcome: "failed", steps: 3 });
    expect(steps().slice(1)).toMatchObject([
      { response: "7F1088", interlock: "stationary" },
      { response: "7F1188", interlock: "stationary" },
    ]);
  });

  it("is carried out once, however often it comes", async () => {
    const { diagnostics, run, told, heard } = await setUp();
    const script_id = randomUUID();
    await run({ steps: [{ request: "14FFFFFF" }] }, { script_id });
    await diagnostics.handleControl(running({ steps: [{ request: "14FFFFFF" }] }, { script_id }));
    await heard("script_finished", 2);
    expect(told.map(({ kind }) => kind)).toEqual([
      "script_step",
      "script_finished",
      "script_finished",
    ]);
  });

  it("is not taken up again by a VMG that was killed, which says so", async () => {
    const folder = testFolder();
    const first = await setUp({ folder });
    const control = running({ steps: [EXTENDED, { wait_ms: 60_000 }] });
    await first.diagnostics.handleControl(control);
    await first.heard("script_step");
    const second = await setUp({ folder });
    // It may come again before anything else has happened.
    await second.diagnostics.handleControl(control);
    await second.diagnostics.resume();
    const failed = { outcome: "failed", error: { code: "SCRIPT_INTERRUPTED" } };
    expect(second.told).toMatchObject([{ script_id: control.script_id, ...failed }]);
    await second.diagnostics.handleControl(control);
    expect(second.told).toHaveLength(2);
    expect(second.steps()).toEqual([]);
    const third = await setUp({ folder });
    await third.diagnostics.resume();
    expect(third.told).toEqual([]);
    await first.until(first.diagnostics.stop());
  });

  it("turns no loop for ever, and takes nothing too deep", async () => {
    const { run, told } = await setUp();
    const nested = (depth: number): ScriptStep =>
      depth === 0
        ? { if: { answer: "none" }, then: [] }
        : { repeat: { times: 1000 }, steps: [nested(depth - 1)] };
    expect(await run({ steps: [nested(3)] })).toMatchObject({ error: { code: "SCRIPT_LIMIT" } });
    expect(await run({ steps: [nested(5)] })).toMatchObject({ error: { code: "SCRIPT_INVALID" } });
    const many = Array.from({ length: 150 }, () => ({ request: "3E00" }));
    const long = { steps: many, cleanup: many };
    expect(await run(long)).toMatchObject({ error: { code: "SCRIPT_INVALID" }, steps: 0 });
    expect(told.filter(({ kind }) => kind === "script_step")).toEqual([]);
  });

  it("is the only one on its ECU", async () => {
    const { diagnostics, heard, until } = await setUp();
    const control = running({ steps: [SESSION, { wait_ms: 1_000 }] });
    await diagnostics.handleControl(control);
    await diagnostics.handleControl(running({ steps: [SESSION] }));
    expect(await heard("script_finished")).toMatchObject({ error: { code: "VEHICLE_BUSY" } });
    expect(await until(heard("script_finished", 2))).toMatchObject({ outcome: "completed" });
  });

  it("is not disturbed by a session, which is refused while it runs", async () => {
    const { diagnostics, heard, until } = await setUp();
    await diagnostics.handleControl(running({ steps: [EXTENDED, { wait_ms: 1_000 }, SESSION] }));
    await heard("script_step");
    const expires_at = new Date(Date.now() + 600_000).toISOString();
    const opening = { ecu_id: "ECU_001", uds_session: 1, lease_ms: 5000, expires_at };
    const open = (session_id: string) =>
      diagnostics.handleControl({ kind: "open_session", session_id, ...opening });
    await open(randomUUID());
    expect(await heard("session_ended")).toMatchObject({ error: { code: "VEHICLE_BUSY" } });
    expect(await until(heard("script_finished"))).toMatchObject({
      answers: { session: IN_EXTENDED },
    });
    await open(randomUUID());
    await heard("session_opened");
  });

  it("lets a reset pass, where any answer will do", async () => {
    const { run, hardware, until } = await setUp();
    hardware.zones[0]?.ecus[0]?.setBehaviour({ bootMs: 1_000 });
    const back = { answer: "alive", is: "positive" as const };
    const finished = await until(
      run({
        steps: [
          { request: "1101" },
          {
            repeat: { times: 50, until: back, every_ms: 100 },
            steps: [{ request: "3E00", as: "alive", expect: "any" }],
          },
          { if: { ...back, not: true }, then: [{ fail: "it did not come back" }] },
        ],
      }),
    );
    expect(finished).toMatchObject({ outcome: "completed" });
    expect(finished.steps).toBeGreaterThan(2);
  });
});
