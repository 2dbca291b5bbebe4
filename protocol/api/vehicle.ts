import Type, { type Static } from "typebox";
import { Heartbeat } from "#protocol/mqtt/heartbeat.ts";
import { Channel, EcuId, Timestamp, VehicleId } from "./identifier.ts";

const TimeZone = Type.String({
  maxLength: 64,
  pattern: "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$",
  description: "IANA name",
  examples: ["Europe/Berlin"],
});

/** How many tags a vehicle may have. */
export const MAX_TAGS = 50;

export const Tag = Type.String({
  pattern: "^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$",
  examples: ["pilot"],
});
const Tags = Type.Array(Tag, { maxItems: MAX_TAGS, uniqueItems: true });

export const RegisterRequest = Type.Object(
  {
    vin: VehicleId,
    model: Type.Optional(Type.String({ maxLength: 64 })),
    region: Type.Optional(Type.String({ maxLength: 64 })),
    vmg_version: Type.Optional(Type.String({ maxLength: 64 })),
    time_zone: Type.Optional(TimeZone),
  },
  {
    examples: [
      {
        vin: "VMG-001",
        model: "Lattice One",
        region: "EU",
        vmg_version: "3.1.0",
        time_zone: "Europe/Berlin",
      },
    ],
  },
);
export type RegisterRequest = Static<typeof RegisterRequest>;

export const VehicleStatus = Type.Union([
  Type.Literal("registered"),
  Type.Literal("online"),
  Type.Literal("offline"),
  Type.Literal("updating"),
]);
export type VehicleStatus = Static<typeof VehicleStatus>;

const Connection = Type.Object({
  at: Timestamp,
  via: Type.Union([Type.Literal("https"), Type.Literal("mqtt")]),
  group: Type.String({ description: "Negotiated key exchange group" }),
  peer_key_type: Type.String({ description: "Key type of the vehicle's certificate" }),
  profile: Type.Union([Type.Integer(), Type.Null()], { description: "TLS profile, 0 to 12" }),
});
export type Connection = Static<typeof Connection>;

const MinProfile = Type.Union([Type.Integer({ minimum: 0, maximum: 12 }), Type.Null()], {
  description:
    "The weakest TLS profile that the vehicle may connect with; null for any that is enabled. Profiles are stronger the higher their number: by class (classical, PQ key exchange, hybrid, pure PQ, PQ), then key exchange, then certificate.",
});

/** What stands behind a VCI: a manifest that the vehicle has signed, or its word. */
export const Evidence = Type.Union([Type.Literal("signed"), Type.Literal("unsigned")]);

/** What a manifest that the vehicle has signed says of an attack on an ECU. */
export const DetectedAttack = Type.Object({
  ecu_id: EcuId,
  attack: Type.String({ description: "In the vehicle's words; Latticeway's VMG tells a code" }),
});
export type DetectedAttack = Static<typeof DetectedAttack>;

export const Vehicle = Type.Object({
  vin: VehicleId,
  model: Type.Union([Type.String(), Type.Null()]),
  region: Type.Union([Type.String(), Type.Null()]),
  channel: Channel,
  tags: Type.Array(Type.String()),
  time_zone: Type.Union([Type.String(), Type.Null()]),
  status: VehicleStatus,
  registered_at: Timestamp,
  last_seen_at: Timestamp,
  connection: Type.Union([Connection, Type.Null()]),
  min_profile: MinProfile,
  evidence: Type.Union([Evidence, Type.Null()]),
  attacks_detected: Type.Array(DetectedAttack, {
    description: "By the newest VCI; none when that is unsigned",
  }),
});
export type Vehicle = Static<typeof Vehicle>;

/** A vehicle with what it says of itself besides its VCI. */
export const VehicleDetail = Type.Object({
  ...Vehicle.properties,
  vmg_version: Type.Union([Type.String(), Type.Null()]),
  heartbeat: Type.Union([Heartbeat, Type.Null()], {
    description: "Its last one: what it is doing, with which versions and how much room",
  }),
});
export type VehicleDetail = Static<typeof VehicleDetail>;

export const VehiclePatch = Type.Object(
  {
    channel: Type.Optional(Channel),
    model: Type.Optional(Type.String({ maxLength: 64 })),
    region: Type.Optional(Type.String({ maxLength: 64 })),
    tags: Type.Optional(Tags),
    time_zone: Type.Optional(Type.Union([TimeZone, Type.Null()])),
    min_profile: Type.Optional(MinProfile),
  },
  {
    minProperties: 1,
    additionalProperties: false,
    examples: [{ channel: "beta", tags: ["pilot"] }],
  },
);
export type VehiclePatch = Static<typeof VehiclePatch>;
