import Type, { type Static, type TSchema } from "typebox";
import { UdsHex } from "./uds-hex.ts";

/** Bounds of a script; the vehicle holds it to them, too. */
export const scriptLimits = {
  steps: 200,
  depth: 5,
  /** Of one `repeat`. */
  rounds: 1000,
  /** Requests that a whole run may send, its cleanup apart. */
  requests: 5000,
  wait_ms: 60_000,
  run_s: 3600,
} as const;

const Name = Type.String({ pattern: "^[a-z][a-z0-9_]{0,31}$", description: "name of an answer" });

/** Something about an answer that was given a name before. */
export const ScriptCondition = Type.Object(
  {
    answer: Name,
    /** `positive`, or the negative response code that came, `NRC 31` in hex: "31". */
    is: Type.Optional(
      Type.Union([
        Type.Literal("positive"),
        Type.Literal("negative"),
        Type.String({ pattern: "^[0-9A-F]{2}$" }),
      ]),
    ),
    /** These bytes of the whole answer, from `offset` on, under `mask`, are `equals`. */
    offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 65_535 })),
    mask: Type.Optional(UdsHex),
    equals: Type.Optional(UdsHex),
    not: Type.Optional(Type.Boolean({ description: "the other way round" })),
  },
  { additionalProperties: false },
);
export type ScriptCondition = Static<typeof ScriptCondition>;

const closed = { additionalProperties: false } as const;

/** Asks the ECU. Without `expect` a negative answer ends the run as failed; "any" lets all pass. */
const RequestStep = Type.Object(
  {
    request: Type.String({ pattern: "^([0-9A-F]{2})+$", maxLength: 2 * 4095 }),
    as: Type.Optional(Name),
    expect: Type.Optional(
      Type.Union([
        Type.Literal("any"),
        Type.String({ pattern: "^([0-9A-F]{2})+$", maxLength: 256, description: "how it begins" }),
      ]),
    ),
    timeout_ms: Type.Optional(Type.Integer({ minimum: 1, maximum: 60_000 })),
  },
  closed,
);
/** 27: asks for the seed of this odd level and sends the key, which the gateway computes. */
const UnlockStep = Type.Object(
  { unlock: Type.Integer({ minimum: 1, maximum: 0x7d, multipleOf: 1 }) },
  closed,
);
/** 29: proves with the gateway's tester certificate who is asking. */
const AuthenticateStep = Type.Object({ authenticate: Type.Literal(true) }, closed);
const WaitStep = Type.Object(
  { wait_ms: Type.Integer({ minimum: 1, maximum: scriptLimits.wait_ms }) },
  closed,
);
const FailStep = Type.Object({ fail: Type.String({ minLength: 1, maxLength: 256 }) }, closed);
const ifStep = <Step extends TSchema>(step: Step) =>
  Type.Object(
    {
      if: ScriptCondition,
      then: Type.Array(step, { maxItems: scriptLimits.steps }),
      else: Type.Optional(Type.Array(step, { maxItems: scriptLimits.steps })),
    },
    closed,
  );
const repeatStep = <Step extends TSchema>(step: Step) =>
  Type.Object(
    {
      repeat: Type.Object(
        {
          times: Type.Integer({ minimum: 1, maximum: scriptLimits.rounds }),
          until: Type.Optional(ScriptCondition),
          every_ms: Type.Optional(Type.Integer({ minimum: 1, maximum: scriptLimits.wait_ms })),
        },
        closed,
      ),
      steps: Type.Array(step, { minItems: 1, maxItems: scriptLimits.steps }),
    },
    closed,
  );

/** One step of a script. */
export const ScriptStep = Type.Cyclic(
  {
    Step: Type.Union([
      RequestStep,
      UnlockStep,
      AuthenticateStep,
      WaitStep,
      FailStep,
      ifStep(Type.Ref("Step")),
      repeatStep(Type.Ref("Step")),
    ]),
  },
  "Step",
);
export type ScriptStep = Static<typeof ScriptStep>;

/** Each kind of step by the member that makes it one; of the steps in it nothing is said. */
export const stepKinds = {
  request: RequestStep,
  unlock: UnlockStep,
  authenticate: AuthenticateStep,
  wait_ms: WaitStep,
  if: ifStep(Type.Unknown()),
  repeat: repeatStep(Type.Unknown()),
  fail: FailStep,
} as const;

const script = <Step extends TSchema>(step: Step) =>
  Type.Object(
    {
      steps: Type.Array(step, { minItems: 1, maxItems: scriptLimits.steps }),
      /** Carried out however the steps ended, each of them whatever the one before came to. */
      cleanup: Type.Optional(Type.Array(step, { maxItems: scriptLimits.steps })),
    },
    closed,
  );

/** A script of whose steps nothing is said. */
export const ScriptOutline = script(Type.Unknown());

/** What a vehicle carries out by itself, so that the way to it costs no time between the steps. */
export const DiagnosticScript = script(ScriptStep);
export type DiagnosticScript = Static<typeof DiagnosticScript>;
