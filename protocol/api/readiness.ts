import Type, { type Static } from "typebox";
import { Deferral } from "#protocol/mqtt/deferral.ts";
import { Uuid } from "./identifier.ts";

/** What a vehicle says of itself before it downloads or installs; what it leaves out is unknown. */
export const UpdateConditions = Type.Object(
  {
    battery_soc: Type.Optional(Type.Number({ minimum: 0, maximum: 100, description: "Percent" })),
    free_storage_bytes: Type.Optional(
      Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    ),
    parked: Type.Optional(Type.Boolean({ description: "It stands, and will" })),
    consent: Type.Optional(Type.Boolean({ description: "The driver agrees to this update" })),
  },
  { additionalProperties: false },
);
export type UpdateConditions = Static<typeof UpdateConditions>;

export const readinessPhases = ["download", "install"] as const;
export type ReadinessPhase = (typeof readinessPhases)[number];

/** A vehicle asks whether it may go on with its update. */
export const ReadinessRequest = Type.Object(
  {
    update_id: Uuid,
    phase: Type.Enum(readinessPhases),
    conditions: UpdateConditions,
    command_id: Type.Optional(Uuid),
  },
  {
    examples: [
      {
        update_id: "019c2f4e-7d3a-7b10-8c55-5f2d6c1b9e01",
        phase: "install",
        conditions: {
          battery_soc: 80,
          free_storage_bytes: 4000000000,
          parked: true,
          consent: true,
        },
      },
    ],
  },
);
export type ReadinessRequest = Static<typeof ReadinessRequest>;

export const ReadinessAnswer = Type.Object({
  ready: Type.Boolean(),
  reasons: Type.Array(Deferral, { description: "Why not" }),
  retry_after_s: Type.Optional(
    Type.Integer({
      minimum: 1,
      description: "When to ask again; absent where the update is over for the vehicle",
    }),
  ),
});
export type ReadinessAnswer = Static<typeof ReadinessAnswer>;
