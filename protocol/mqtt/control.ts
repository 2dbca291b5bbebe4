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

/** What a command asks for; `START_OTA_UPDATE` is another name of `ota_update`. */
export const actionOf = (command: CommandName): string =>
  command === "START_OTA_UPDATE" ? "ota_update" : command;

/** The package that an update would bring, as far as it was known when the command was given. */
export const CommandTarget = Type.Object({
  package: Type.Optional(Type.String({ maxLength: 128, description: "Its id" })),
  version: Type.Optional(
    Type.String({ maxLength: 64, description: "Where all ECUs of it come to the same" }),
  ),
  url: Type.Optional(Type.String({ maxLength: 1024, description: "Path on the gateway" })),
  checksum: Type.Optional(Type.String({ maxLength: 128, examples: ["sha256:…"] })),
});
export type CommandTarget = Static<typeof CommandTarget>;

/** Gateway → VMG. May arrive more than once; `command_id` tells a repeat. */
export const Command = Type.Object({
  command_id: Uuid,
  command: CommandName,
  action: Type.Optional(Type.String({ maxLength: 64 })),
  ...CommandTarget.properties,
  force: Type.Optional(
    Type.Boolean({ description: "Whether it goes before mode, windows and consent" }),
  ),
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
