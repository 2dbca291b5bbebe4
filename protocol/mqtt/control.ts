import Type, { type Static } from "typebox";
import { Instant } from "./instant.ts";
import { Uuid } from "./uuid.ts";

/** Commands that a VMG carries out; `START_OTA_UPDATE` and `ota_update` are the same. */
export const commandNames = [
  "START_OTA_UPDATE",
  "ota_update",
  "ota_rollback",
  "ota_status",
  "REQUEST_VCI",
] as const;
export const CommandName = Type.Enum(commandNames);
export type CommandName = Static<typeof CommandName>;

/** Gateway → VMG. May arrive more than once; `command_id` tells a repeat. */
export const Command = Type.Object({
  command_id: Uuid,
  command: CommandName,
  params: Type.Optional(Type.Record(Type.String({ maxLength: 64 }), Type.Unknown())),
  issued_at: Instant,
  expires_at: Instant,
});
export type Command = Static<typeof Command>;

/** VMG → gateway, on `control/response`. `accepted` may come first, when the work takes a while. */
export const CommandResponse = Type.Object({
  command_id: Uuid,
  status: Type.Union([
    Type.Literal("accepted"),
    Type.Literal("completed"),
    Type.Literal("failed"),
    Type.Literal("rejected"),
  ]),
  result: Type.Optional(Type.Unknown()),
  error: Type.Optional(
    Type.Object({
      code: Type.String({ maxLength: 64 }),
      message: Type.String({ maxLength: 1024 }),
    }),
  ),
  ts: Instant,
});
export type CommandResponse = Static<typeof CommandResponse>;
