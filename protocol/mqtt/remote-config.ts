import Type, { type Static } from "typebox";

/** Remote configuration of a VMG (retained). What is absent keeps the vehicle's own default. */
export const RemoteConfig = Type.Object(
  {
    heartbeat_interval_s: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400 })),
    telemetry_interval_s: Type.Optional(Type.Number({ minimum: 0.1, maximum: 86_400 })),
    check_interval_s: Type.Optional(Type.Integer({ minimum: 1, maximum: 31_536_000 })),
    auto_update: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false, examples: [{ heartbeat_interval_s: 30, check_interval_s: 3600 }] },
);
export type RemoteConfig = Static<typeof RemoteConfig>;

/** As it is published: with the revision that the operator's change got. */
export const RemoteConfigMessage = Type.Object({
  revision: Type.Integer({ minimum: 1 }),
  config: RemoteConfig,
});
export type RemoteConfigMessage = Static<typeof RemoteConfigMessage>;
