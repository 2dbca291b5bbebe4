import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ecuSteps,
  isOver,
  startUpdate,
  transition,
  updatePhases,
  type EcuStep,
  type UpdateEvent,
  type UpdatePhase,
  type UpdateRecord,
} from "#vmg-sim/vmg/update-state.ts";

const offer = {
  package_id: "pkg-1",
  update_id: "01a1fa93-83c0-773c-8d01-0d1eed73784e",
  download_url: "/api/v1/ota/package/pkg-1",
  size: 1000,
  checksum: "sha256:00",
  expires_at: "2026-12-01T00:00:00Z",
  zones: [
    {
      zone_id: "Z",
      offset: 0,
      length: 1000,
      ecus: ["A", "B"].map((ecu_id) => ({
        ecu_id,
        current_version: "1.0.0",
        target_version: "2.0.0",
        firmware_id: "f",
      })),
    },
  ],
};

function record(phase: UpdatePhase, steps: readonly [EcuStep, EcuStep]): UpdateRecord {
  const begun = startUpdate(offer);
  const ecus = begun.ecus.map((ecu, index) => ({ ...ecu, step: steps[index] ?? "waiting" }));
  return { ...begun, phase, ecus };
}

const error = { code: "X", message: "x" };
const both = new Map([
  ["A", "1.0.0"],
  ["B", "1.0.0"],
]);

/** Steps of the two ECUs that let every phase come to its end. */
const ready: Partial<Record<UpdatePhase, readonly [EcuStep, EcuStep]>> = {
  installing: ["flashed", "flashed"],
  restarting: ["trial", "trial"],
  health_check: ["confirmed", "confirmed"],
  rolling_back: ["reverted", "waiting"],
};

const events: Record<string, UpdateEvent> = {
  authorized: { type: "authorized", assigned: [] },
  downloaded: { type: "downloaded" },
  verified: { type: "verified" },
  backed_up: { type: "backed_up", versions: both, orders: new Map([["A", 1]]) },
  installed: { type: "installed" },
  restarted: { type: "restarted" },
  healthy: { type: "healthy" },
  reverted: { type: "reverted" },
  failed: { type: "failed", error },
};

/** The whole table: phase, event, next phase. Every pair that is not here is refused. */
const table: readonly (readonly [UpdatePhase, string, UpdatePhase])[] = [
  ["downloading", "authorized", "downloading"],
  ["downloading", "downloaded", "verifying"],
  ["downloading", "failed", "failed"],
  ["verifying", "verified", "backing_up"],
  ["verifying", "failed", "failed"],
  ["backing_up", "backed_up", "installing"],
  ["backing_up", "failed", "failed"],
  ["installing", "installed", "restarting"],
  ["installing", "failed", "rolling_back"],
  ["restarting", "restarted", "health_check"],
  ["restarting", "failed", "rolling_back"],
  ["health_check", "healthy", "completed"],
  ["health_check", "failed", "rolling_back"],
  ["rolling_back", "reverted", "rolled_back"],
  ["rolling_back", "failed", "failed"],
];

describe("an update that has to wait", () => {
  const reasons = [{ code: "BATTERY_LOW", detail: "12 % of 40 %", retry_after_s: 300 }];

  it.each(updatePhases)("may do so while it is %s: before the download and the ECUs", (phase) => {
    const at = record(phase, ready[phase] ?? ["waiting", "waiting"]);
    const mayWait = ["downloading", "backing_up"].includes(phase);
    const waiting = transition(at, { type: "deferred", reasons });
    expect(waiting).toEqual(mayWait ? { ...at, deferral: reasons } : undefined);
    expect(transition(waiting ?? at, { type: "ready" })).toEqual(mayWait ? at : undefined);
  });

  it("waits no more once it has failed", () => {
    const at = { ...record("backing_up", ["waiting", "waiting"]), deferral: reasons };
    const failed = transition(at, { type: "failed", error });
    expect(failed).toMatchObject({ phase: "failed", error });
    expect(failed).not.toHaveProperty("deferral");
  });
});

describe("update state", () => {
  const pairs = updatePhases.flatMap((phase) =>
    Object.keys(events).map((event) => [phase, event] as const),
  );

  it.each(pairs)("%s, %s", (phase, name) => {
    const event = events[name];
    if (!event) throw new Error(name);
    const row = table.find(([from, by]) => from === phase && by === name);
    const next = transition(record(phase, ready[phase] ?? ["waiting", "waiting"]), event);
    expect(next?.phase).toBe(row?.[2]);
  });

  it.each([
    ["installing", "installed", ["flashed", "flashing"]],
    ["installing", "installed", ["flashed", "waiting"]],
    ["restarting", "restarted", ["trial", "flashed"]],
    ["health_check", "healthy", ["confirmed", "trial"]],
    ["rolling_back", "reverted", ["reverted", "confirmed"]],
  ] as const)("%s does not end by %s while the ECUs are %j", (phase, name, steps) => {
    const event = events[name];
    if (!event) throw new Error(name);
    expect(transition(record(phase, steps), event)).toBeUndefined();
  });

  it("lets an ECU take its steps only in their phases, one at a time", () => {
    const allowed = updatePhases.flatMap((phase) =>
      ecuSteps.flatMap((from) =>
        ecuSteps
          .filter((step) =>
            transition(record(phase, [from, "waiting"]), { type: "ecu", ecu_id: "A", step }),
          )
          .map((to) => `${phase}: ${from} → ${to}`),
      ),
    );
    expect(allowed).toEqual([
      "installing: waiting → flashing",
      "installing: flashing → flashed",
      "restarting: flashed → trial",
      "health_check: trial → confirmed",
      "rolling_back: flashing → reverted",
      "rolling_back: flashed → reverted",
      "rolling_back: trial → reverted",
      "rolling_back: confirmed → reverted",
    ]);
  });

  it("refuses an ECU that is not part of the update, and a backup that lacks one", () => {
    const installing = record("installing", ["waiting", "waiting"]);
    expect(transition(installing, { type: "ecu", ecu_id: "C", step: "flashing" })).toBeUndefined();
    const versions = new Map([["A", "1.0.0"]]);
    const backingUp = record("backing_up", ["waiting", "waiting"]);
    expect(
      transition(backingUp, { type: "backed_up", versions, orders: new Map() }),
    ).toBeUndefined();
  });

  it("keeps the first error when rolling back fails as well", () => {
    const rollingBack = transition(record("installing", ["flashing", "waiting"]), {
      type: "failed",
      error: { code: "FLASH", message: "block 3" },
    });
    const failed = rollingBack && transition(rollingBack, { type: "failed", error });
    expect(failed?.phase).toBe("failed");
    expect(failed?.error).toEqual({ code: "X", message: "x (rolling back after FLASH: block 3)" });
  });
});

describe("update state after a restart of the VMG", () => {
  const resumed = (phase: UpdatePhase, steps: [EcuStep, EcuStep], a?: string, b?: string) => {
    const versions = new Map(
      [
        ["A", a],
        ["B", b],
      ].filter((entry): entry is [string, string] => entry[1] !== undefined),
    );
    const next = transition(record(phase, steps), { type: "resumed", versions });
    return [next?.phase, ...(next?.ecus.map(({ step }) => step) ?? [])];
  };

  it.each([
    ["downloading", ["waiting", "waiting"], "1.0.0", "1.0.0", "downloading", "waiting", "waiting"],
    // A flash that was cut off begins anew; one that had ended by then has booted.
    ["installing", ["flashing", "waiting"], "1.0.0", "1.0.0", "installing", "waiting", "waiting"],
    ["installing", ["flashing", "waiting"], "2.0.0", "1.0.0", "installing", "trial", "waiting"],
    ["installing", ["flashed", "flashing"], "1.0.0", undefined, "installing", "flashed", "waiting"],
    ["installing", ["flashed", "waiting"], "2.0.0", "1.0.0", "installing", "trial", "waiting"],
    ["restarting", ["trial", "flashed"], "2.0.0", "1.0.0", "restarting", "trial", "flashed"],
    ["restarting", ["trial", "flashed"], "2.0.0", "2.0.0", "restarting", "trial", "trial"],
    // A trial that was lost, or an ECU that says nothing: everything goes back.
    ["restarting", ["trial", "flashed"], "1.0.0", "2.0.0", "rolling_back", "trial", "flashed"],
    ["installing", ["trial", "flashing"], "1.0.0", "1.0.0", "rolling_back", "trial", "flashing"],
    [
      "health_check",
      ["trial", "confirmed"],
      "2.0.0",
      "2.0.0",
      "health_check",
      "trial",
      "confirmed",
    ],
    [
      "health_check",
      ["confirmed", "trial"],
      "2.0.0",
      "1.0.0",
      "rolling_back",
      "confirmed",
      "trial",
    ],
    ["health_check", ["trial", "trial"], "2.0.0", undefined, "rolling_back", "trial", "trial"],
    ["rolling_back", ["trial", "reverted"], "1.0.0", "1.0.0", "rolling_back", "trial", "reverted"],
  ] as const)("%s with %j at %s and %s", (phase, steps, a, b, ...expected) => {
    expect(resumed(phase, [...steps], a, b)).toEqual(expected);
  });

  it("gives up an installation that takes the VMG down again and again", () => {
    let at: UpdateRecord | undefined = record("installing", ["flashing", "waiting"]);
    const phases: string[] = [];
    for (let i = 0; i < 4; i++) {
      at = at && transition(at, { type: "resumed", versions: both });
      phases.push(at?.phase ?? "refused");
    }
    expect(phases).toEqual(["installing", "installing", "installing", "rolling_back"]);
    expect(at?.error?.code).toBe("UPDATE_INTERRUPTED");
  });
});

describe("any sequence of events", () => {
  const anyEvent: fc.Arbitrary<UpdateEvent> = fc.oneof(
    fc.constantFrom(...Object.values(events)),
    fc.record({
      type: fc.constant("ecu" as const),
      ecu_id: fc.constantFrom("A", "B"),
      step: fc.constantFrom(...ecuSteps),
    }),
    fc.record({
      type: fc.constant("progressed" as const),
      progress: fc.double({ min: 0, max: 200, noNaN: true }),
    }),
    fc.record({
      type: fc.constant("resumed" as const),
      versions: fc.constantFrom(both, new Map([["A", "2.0.0"]]), new Map<string, string>()),
    }),
  );

  it("never lowers the progress, never leaves an end, and completes only with every ECU confirmed", () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 60 }), (sequence) => {
        let at = startUpdate(offer);
        for (const event of sequence) {
          const next = transition(at, event);
          const isAllowed =
            next === undefined ||
            (!isOver(at.phase) && next.progress >= at.progress && next.progress <= 100);
          expect(isAllowed).toBe(true);
          at = next ?? at;
        }
        const steps = at.ecus.map(({ step }) => step);
        const untouched: EcuStep[] = ["waiting", "reverted"];
        expect(at.phase !== "completed" || steps.every((step) => step === "confirmed")).toBe(true);
        expect(at.phase !== "rolled_back" || steps.every((step) => untouched.includes(step))).toBe(
          true,
        );
      }),
      { numRuns: 500 },
    );
  });
});
