import Type, { type Static } from "typebox";
import { CommandName } from "#protocol/mqtt/control.ts";
import { Timestamp, Uuid, VehicleId } from "./identifier.ts";

export const CommandRequest = Type.Object({
  command: CommandName,
  params: Type.Optional(
    Type.Record(Type.String({ maxLength: 64 }), Type.Unknown(), { maxProperties: 32 }),
  ),
  ttl_s: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_592_000 })),
});

export const commandStatuses = [
  "queued",
  "sent",
  "delivered",
  "accepted",
  "completed",
  "failed",
  "rejected",
  "expired",
] as const;

export const CommandState = Type.Object({
  command_id: Uuid,
  vin: VehicleId,
  command: CommandName,
  params: Type.Unknown(),
  status: Type.Enum(commandStatuses),
  result: Type.Unknown(),
  issued_by: Type.String(),
  created_at: Timestamp,
  expires_at: Timestamp,
  updated_at: Timestamp,
});
export type CommandState = Static<typeof CommandState>;
