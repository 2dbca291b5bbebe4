import { describe, expect, it } from "vitest";
import { scriptStatuses } from "#protocol/api/diagnostic-script.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { toHex } from "#protocol/bytes/hex.ts";
import type { ScriptStep } from "#protocol/mqtt/diagnostic-script.ts";
import {
  mayProve,
  nextScriptStatus,
  parseScript,
  requestsOf,
  stepAt,
  type ScriptInput,
} from "#server/diagnostic-runs/script.ts";

const refusal = (script: unknown): string => {
  try {
    parseScript(script);
  } catch (error) {
    expect(error).toBeInstanceOf(ProblemError);
    expect(error).toMatchObject({ code: "SCRIPT_INVALID" });
    return (error as ProblemError).message;
  }
  throw new Error("it was taken");
};

/** `if` in `if`, so many deep. */
const nested = (depth: number): unknown =>
  depth === 1
    ? { request: "3E00" }
    : { if: { answer: "a", is: "positive" }, then: [nested(depth - 1)] };
const named = { request: "22F190", as: "a" };

describe("a script", () => {
  it("is taken with hex as people write it, and passed on as vehicles want it", () => {
    const script = parseScript({
      steps: [
        { request: "22 f1 90", as: "vin", expect: "62f190" },
        { request: "0x3e00", expect: "any" },
        {
          if: { answer: "vin", is: "7f", mask: "ff 00", equals: "0a 00" },
          then: [{ fail: "deadbeef" }],
        },
        { repeat: { times: 2, until: { answer: "vin", is: "negative" } }, steps: [{ wait_ms: 1 }] },
      ],
    });
    expect(script).toEqual({
      steps: [
        { request: "22F190", as: "vin", expect: "62F190" },
        { request: "3E00", expect: "any" },
        {
          if: { answer: "vin", is: "7F", mask: "FF00", equals: "0A00" },
          then: [{ fail: "deadbeef" }],
        },
        { repeat: { times: 2, until: { answer: "vin", is: "negative" } }, steps: [{ wait_ms: 1 }] },
      ],
    });
  });

  it.each<[string, unknown, RegExp]>([
    ["nothing", undefined, /schema/],
    ["no steps", { steps: [] }, /schema/],
    ["an unknown step", { steps: [{ reboot: true }] }, /schema/],
    ["half a byte", { steps: [{ request: "22F19" }] }, /schema/],
    ["digits joined over a blank", { steps: [{ request: "2 2F190" }] }, /schema/],
    ["an empty request", { steps: [{ request: "" }] }, /schema/],
    ["a member that means nothing", { steps: [{ request: "3E00", retries: 3 }] }, /schema/],
    ["a wait without end", { steps: [{ wait_ms: 60_001 }] }, /schema/],
    ["an even level", { steps: [{ unlock: 2 }] }, /odd/],
    [
      "an answer that nothing gives",
      { steps: [{ if: { answer: "b" }, then: [] }, named] },
      /named b/,
    ],
    ["six levels", { steps: [named, nested(6)] }, /6 deep/],
    ["sixty levels", { steps: [named, nested(60)] }, /nested too deep/],
    ["201 steps", { steps: Array.from({ length: 201 }, () => named) }, /schema/],
    [
      "201 steps, cleanup and steps of steps included",
      {
        steps: [named, { repeat: { times: 2 }, steps: Array.from({ length: 100 }, () => named) }],
        cleanup: Array.from({ length: 99 }, () => named),
      },
      /201 steps/,
    ],
  ])("with %s is refused", (_, script, why) => {
    expect(refusal(script)).toMatch(why);
  });

  it("of 200 steps, five deep, is taken", () => {
    const steps = [named, nested(5), ...Array.from({ length: 194 }, () => named)];
    expect(parseScript({ steps }).steps).toHaveLength(196);
  });

  it("tells each request that it could send, wherever it stands", () => {
    const script = parseScript({
      steps: [
        { request: "1003", as: "a" },
        { if: { answer: "a" }, then: [{ unlock: 3 }], else: [{ request: "1101" }] },
        { repeat: { times: 9 }, steps: [{ request: "1003" }, { authenticate: true }] },
      ],
      cleanup: [{ request: "1001" }],
    });
    expect(requestsOf(script).map(toHex)).toEqual([
      "1003",
      "2703",
      "2704",
      "1101",
      "2901",
      "2903",
      "1001",
    ]);
    expect(mayProve(script, { service: 0x27, level: 3 })).toBe(true);
    expect(mayProve(script, { service: 0x27, level: 1 })).toBe(false);
    expect(mayProve(script, { service: 0x27 })).toBe(false);
    expect(mayProve(script, { service: 0x29 })).toBe(true);
    expect(mayProve(parseScript({ steps: [named] }), { service: 0x29 })).toBe(false);
    expect(stepAt(script, "steps/1/then/0")).toEqual({ unlock: 3 } satisfies ScriptStep);
    expect(stepAt(script, "cleanup/0")).toEqual({ request: "1001" });
    for (const path of ["", "steps", "steps/9", "steps/__proto__", "cleanup/0/request"]) {
      expect(stepAt(script, path)).toBeUndefined();
    }
  });
});

const inputs: ScriptInput[] = [
  { type: "approved" },
  { type: "sent" },
  { type: "step" },
  ...(["completed", "failed", "cancelled", "expired", "denied"] as const).map(
    (status) => ({ type: "end", status }) as const,
  ),
];
const nameOf = (input: ScriptInput) => (input.type === "end" ? input.status : input.type);
const ends = {
  completed: "completed",
  failed: "failed",
  cancelled: "cancelled",
  expired: "expired",
};

const table: Partial<Record<(typeof scriptStatuses)[number], Record<string, string>>> = {
  awaiting_approval: {
    approved: "queued",
    cancelled: "cancelled",
    expired: "expired",
    denied: "denied",
  },
  queued: { sent: "sent", step: "running", ...ends },
  sent: { step: "running", ...ends },
  running: ends,
};

describe("a run", () => {
  it.each(scriptStatuses)("that is %s goes where the table says, and nowhere else", (status) => {
    const actual = inputs.flatMap((input) => {
      const next = nextScriptStatus(status, input);
      return next === undefined ? [] : [[nameOf(input), next] as const];
    });
    expect(Object.fromEntries(actual)).toEqual(table[status] ?? {});
  });
});
