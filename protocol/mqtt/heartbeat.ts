import Type, { type Static } from "typebox";
import { EcuId } from "./ecu-id.ts";
import { Instant } from "./instant.ts";

/** Sign of life of a VMG, with what the gateway needs to know before it sends anything large. */
export const Heartbeat = Type.Object({
  ts: Instant,
  state: Type.String({ maxLength: 32, description: "idle, downloading, installing, …" }),
  versions: Type.Optional(
    Type.Record(EcuId, Type.String({ maxLength: 64 }), {
      additionalProperties: false,
      maxProperties: 256,
    }),
  ),
  free_storage_bytes: Type.Optional(Type.Integer({ minimum: 0 })),
  last_update_at: Type.Optional({ ...Instant, description: "When its last update ended" }),
  uptime_s: Type.Optional(Type.Number({ minimum: 0 })),
});
export type Heartbeat = Static<typeof Heartbeat>;
