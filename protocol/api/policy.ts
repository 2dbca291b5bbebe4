import Type, { type Static } from "typebox";
import { Timestamp, Uuid } from "./identifier.ts";

const closed = { additionalProperties: false } as const;

export const policyModes = ["auto", "manual", "scheduled"] as const;

/** In the order of ISO 8601: Monday is 1. */
export const weekdays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;

const day = "([01]\\d|2[0-3]):[0-5]\\d";

/** A time to update in, by the clock of the vehicle. */
export const MaintenanceWindow = Type.Object(
  {
    days: Type.Array(Type.Enum(weekdays), {
      minItems: 1,
      maxItems: 7,
      uniqueItems: true,
      description: "On which days it begins",
    }),
    from: Type.String({ pattern: `^${day}$`, examples: ["22:00"] }),
    to: Type.String({
      pattern: `^(${day}|24:00)$`,
      description: "Not later than `from`: on the next day",
      examples: ["04:30"],
    }),
  },
  closed,
);
export type MaintenanceWindow = Static<typeof MaintenanceWindow>;

const nullable = <Schema extends Type.TSchema>(schema: Schema, description?: string) =>
  Type.Union([schema, Type.Null()], description === undefined ? {} : { description });

const settings = {
  mode: Type.Enum(policyModes, {
    description:
      "auto: whenever the vehicle likes; manual: by a command of an operator; scheduled: in a window",
  }),
  check_interval_s: nullable(
    Type.Integer({ minimum: 60, maximum: 31_536_000 }),
    "How often the vehicle looks for updates, in seconds from 60; null: as it likes",
  ),
  windows: Type.Array(MaintenanceWindow, {
    maxItems: 21,
    description: "For mode scheduled: a list of { days, from, to }",
  }),
  consent: Type.Enum(["required", "not_required"] as const, {
    description: "Whether the driver has to agree: required or not_required",
  }),
  min_battery_soc: nullable(
    Type.Number({ minimum: 0, maximum: 100 }),
    "Percent; null: none demanded",
  ),
  min_free_storage: nullable(
    Type.Object(
      {
        bytes: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
        package_factor: Type.Optional(
          Type.Number({ minimum: 0, maximum: 100, description: "Times the size of the package" }),
        ),
      },
      { ...closed, minProperties: 1 },
    ),
    "{ bytes, package_factor }, of which the larger one counts; null: none demanded",
  ),
  parked: Type.Boolean({
    description: "Whether it has to be parked for the installation: true or false",
  }),
};

const atNight = {
  mode: "scheduled",
  check_interval_s: 3600,
  windows: [{ days: ["mon", "tue", "wed"], from: "22:00", to: "04:30" }],
  consent: "required",
  min_battery_soc: 40,
  min_free_storage: { bytes: 2000000000 },
  parked: true,
};

/** Under which conditions a vehicle updates. */
export const PolicySettings = Type.Object(settings, {
  ...closed,
  examples: [atNight],
});
export type PolicySettings = Static<typeof PolicySettings>;

/** What somebody has set; the rest is as in the gateway's configuration. */
export const PolicyChange = Type.Partial(PolicySettings, {
  ...closed,
  examples: [{ mode: "manual" }],
});
export type PolicyChange = Static<typeof PolicyChange>;

const GroupContent = {
  name: Type.String({ minLength: 1, maxLength: 64 }),
  position: Type.Integer({
    minimum: 0,
    maximum: 1_000_000,
    description: "Of those whose filter fits a vehicle, the one with the lowest counts",
  }),
  filter: Type.String({
    minLength: 1,
    maxLength: 4096,
    description: "For which vehicles it is",
    examples: ['region == "EU" and tag == "pilot"'],
  }),
  settings: PolicyChange,
};

/** A policy for a group of vehicles, as it is given. */
export const GroupPolicyContent = Type.Object(GroupContent, {
  ...closed,
  examples: [
    {
      name: "Parked at night",
      position: 10,
      filter: 'region == "EU" and tag == "pilot"',
      settings: atNight,
    },
  ],
});
export type GroupPolicyContent = Static<typeof GroupPolicyContent>;

const change = { changed_by: Type.String(), changed_at: Timestamp };

export const GroupPolicy = Type.Object({ policy_id: Uuid, ...GroupContent, ...change });
export type GroupPolicy = Static<typeof GroupPolicy>;

/** What holds for a vehicle, and where that comes from. */
export const EffectivePolicy = Type.Object({
  source: Type.Enum(["vehicle", "group", "default"] as const),
  policy_id: nullable(Uuid),
  name: nullable(Type.String({ description: "Of the group's policy" })),
  settings: PolicySettings,
});
export type EffectivePolicy = Static<typeof EffectivePolicy>;

/** What a vehicle is told of its policy. */
export const PolicyAnswer = Type.Object({
  ...settings,
  window: nullable(
    Type.Object({
      open: Type.Boolean(),
      opens_at: nullable(Timestamp),
      closes_at: nullable(Timestamp),
    }),
  ),
});
export type PolicyAnswer = Static<typeof PolicyAnswer>;
