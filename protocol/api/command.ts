import Type, { type Static } from "typebox";
import { CommandName, CommandTarget } from "#protocol/mqtt/control.ts";
import { EcuId, EcuType, Timestamp, Uuid, VehicleId, Version } from "./identifier.ts";

/** What an update can be narrowed to by the params of its command, and how far it goes. */
export const UpdateParams = Type.Object({
  ecu_ids: Type.Optional(Type.Array(EcuId, { minItems: 1, maxItems: 256 })),
  ecu_type: Type.Optional(EcuType),
  version: Type.Optional(Version),
  force: Type.Optional(
    Type.Boolean({ description: "Before mode, windows and consent of the policy" }),
  ),
});
export type UpdateParams = Static<typeof UpdateParams>;

export const CommandRequest = Type.Object(
  {
    command: CommandName,
    params: Type.Optional(
      Type.Record(Type.String({ maxLength: 64 }), Type.Unknown(), {
        maxProperties: 32,
        description:
          "Of updates and rollbacks: ecu_ids; of updates: ecu_type, version (only what comes to it), force",
      }),
    ),
    ttl_s: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_592_000 })),
    idempotency_key: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description:
          "The same key again brings the command that was given with it, and no second one",
      }),
    ),
    wait_ms: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 60_000,
        description: "Wait so long for the vehicle's answer; the command is answered with 200 then",
      }),
    ),
  },
  { examples: [{ command: "START_OTA_UPDATE", ttl_s: 86400 }] },
);

export const commandStatuses = [
  "queued",
  "sent",
  "delivered",
  "accepted",
  "completed",
  "failed",
  "rejected",
  "expired",
  "cancelled",
] as const;

export const CommandState = Type.Object({
  command_id: Uuid,
  vin: VehicleId,
  command: CommandName,
  params: Type.Unknown(),
  target: Type.Union([CommandTarget, Type.Null()], {
    description: "The package that the vehicle was told of",
  }),
  status: Type.Enum(commandStatuses),
  result: Type.Unknown(),
  issued_by: Type.String(),
  idempotency_key: Type.Union([Type.String(), Type.Null()]),
  created_at: Timestamp,
  expires_at: Timestamp,
  updated_at: Timestamp,
});
export type CommandState = Static<typeof CommandState>;
