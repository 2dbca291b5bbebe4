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
  depth === 1 ? { request: "3E00" } : ifNamed([nested(depth - 1)]);
const named = { request: "22F190", as: "a" };
const ifNamed = (then: unknown[]) => ({ if: { answer: "a", is: "positive" }, then });

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
    ["nothing", undefined, /script must be object/],
    ["no steps", { steps: [] }, /steps must not have fewer/],
    [
      "an unknown step",
      { steps: [{ reboot: true }] },
      /steps\/0 must have one of request, unlock,/,
    ],
    ["a step of two kinds", { steps: [{ request: "3E00", wait_ms: 1 }] }, /0 must have one of/],
    ["half a byte", { steps: [{ request: "22F19" }] }, /0\/request must be whole bytes in hex/],
    ["digits joined over a blank", { steps: [{ request: "2 2F190" }] }, /whole bytes in hex/],
    ["an empty request", { steps: [{ request: "" }] }, /whole bytes in hex/],
    ["a member that means nothing", { steps: [{ request: "3E00", retries: 3 }] }, /0 .*: retries/],
    ["a member beside steps", { steps: [named], clean: [] }, /script has no such member: clean/],
    ["a wait without end", { steps: [{ wait_ms: 60_001 }] }, /0\/wait_ms must be <= 60000/],
    ["a wrong step in a step", { steps: [named, ifNamed([{ wait: 1 }])] }, /1\/then\/0 must have/],
    ["an expectation that is none", { steps: [{ request: "3E00", expect: "x" }] }, /be "any"/],
    ["an even level", { steps: [{ unlock: 2 }] }, /odd/],
    [
      "an answer that nothing gives",
      { steps: [{ if: { answer: "b" }, then: [] }, named] },
      /named b/,
    ],
    ["six levels", { steps: [named, nested(6)] }, /more than 5 deep/],
    ["sixty levels", { steps: [named, nested(60)] }, /nested too deep/],
    ["201 steps", { steps: Array.from({ length: 201 }, () => named) }, /not have more than 200/],
    [
      "201 steps, cleanup and steps of steps included",
      {
        steps: [named, { repeat: { times: 2 }, steps: Array.from({ length: 100 }, () => named) }],
        cleanup: Array.from({ length: 99 }, () => named),
      },
      /more than 200 steps/,
    ],
  ])("with %s is refused", (_, script, why) => {
    expect(refusal(script)).toMatch(why);
  });

  it("tells everything that is wrong at once, each fault once", () => {
    const steps = [{ requst: "3E00" }, named, { repeat: { times: 0 }, steps: [] }];
    expect(() => parseScript({ steps, cleanup: [{ unlock: "3" }] })).toThrow(
      expect.objectContaining({
        errors: [
          { path: "/script/steps/0", message: expect.stringContaining("must have one of") },
          { path: "/script/steps/2/repeat/times", message: "must be >= 1" },
          { path: "/script/steps/2/steps", message: "must not have fewer than 1 items" },
          { path: "/script/cleanup/0/unlock", message: "must be integer" },
        ],
      }),
    );
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
