import Type, { type Static } from "typebox";
import { scriptLimits } from "#protocol/mqtt/diagnostic-script.ts";
import { VehicleTiming } from "#protocol/mqtt/diagnostics.ts";
import { Interlock } from "#protocol/mqtt/interlock.ts";
import { EcuId, Timestamp, Uuid, VehicleId } from "./identifier.ts";

/** In the order of a script's life; the last five are ends. */
export const scriptStatuses = [
  "awaiting_approval",
  "queued",
  "sent",
  "running",
  "completed",
  "failed",
  "cancelled",
  "expired",
  "denied",
] as const;
export const ScriptStatus = Type.Enum(scriptStatuses);
export type ScriptStatus = Static<typeof ScriptStatus>;

export const ScriptWaitMs = Type.Integer({
  minimum: 0,
  maximum: 60_000,
  default: 0,
  description: "Wait up to this long for it to end",
});

export const ScriptRequest = Type.Object(
  {
    vin: VehicleId,
    ecu_id: EcuId,
    session_id: Type.Optional(Uuid),
    script: Type.Unknown({
      description: "steps and cleanup, see docs/diagnostics.md; hex in either case, with blanks",
    }),
    max_s: Type.Integer({
      minimum: 1,
      maximum: scriptLimits.run_s,
      default: 300,
      description: "Given up then, in seconds; the cleanup runs all the same",
    }),
    reason: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
    wait_ms: ScriptWaitMs,
  },
  {
    examples: [
      {
        vin: "VMG-001",
        ecu_id: "ECU_001",
        reason: "Reads identification",
        script: { steps: [{ id: "vin", request: "22 F190" }] },
      },
    ],
  },
);
export type ScriptRequest = Static<typeof ScriptRequest>;

const orNull = <Schema extends Parameters<typeof Type.Union>[0][number]>(schema: Schema) =>
  Type.Union([schema, Type.Null()]);
const ErrorOrNull = orNull(Type.Object({ code: Type.String(), message: Type.String() }));

/** An answer, raw and decoded. */
const Answer = Type.Object({ response_data: Type.String(), decoded: Type.Unknown() });

export const ScriptRun = Type.Object({
  script_id: Uuid,
  vin: VehicleId,
  ecu_id: EcuId,
  session_id: orNull(Uuid),
  script: Type.Unknown(),
  status: ScriptStatus,
  operator: Type.String(),
  reason: orNull(Type.String()),
  max_s: Type.Integer(),
  cancelled_by: orNull(Type.String()),
  answers: Type.Record(Type.String(), Answer, { description: "The last of each that has a name" }),
  steps: orNull(Type.Integer({ description: "How many there were, once it has ended" })),
  error: ErrorOrNull,
  created_at: Timestamp,
  expires_at: Timestamp,
  completed_at: orNull(Timestamp),
});
export type ScriptRun = Static<typeof ScriptRun>;

export const ScriptStepResult = Type.Object({
  seq: Type.Integer(),
  path: Type.String({ description: "Where in the script: steps/2/then/0, cleanup/1" }),
  request_data: orNull(Type.String()),
  response_data: orNull(Type.String()),
  decoded: Type.Unknown(),
  interlock: orNull(Interlock),
  error: ErrorOrNull,
  timing: orNull(VehicleTiming),
  ts: Timestamp,
});
export type ScriptStepResult = Static<typeof ScriptStepResult>;
