import Type, { type Static } from "typebox";
import { EcuType, HardwareVersion, Timestamp, Uuid, VehicleId } from "./identifier.ts";

const campaignLimits = {
  name: 200,
  description: 10_000,
  releases: 64,
  filter: 4096,
  vins: 10_000,
  waves: 32,
  comment: 1024,
  /** A year. */
  minutes: 525_600,
} as const;

/** Text without U+0000, which no database text holds. */
const text = (maxLength: number, options: object = {}) =>
  Type.String({ maxLength, pattern: "^[^\\u0000]*$", ...options });
const Minutes = (description: string) =>
  Type.Integer({ minimum: 0, maximum: campaignLimits.minutes, description });
const Rate = (description: string) => Type.Number({ minimum: 0, maximum: 1, description });
const orNull = <Schema extends Parameters<typeof Type.Union>[0][number]>(schema: Schema) =>
  Type.Union([schema, Type.Null()]);

export const campaignStates = [
  "draft",
  "awaiting_approval",
  "scheduled",
  "running",
  "paused",
  "finishing",
  "finished",
  "stopped",
] as const;
export const CampaignState = Type.Enum(campaignStates, {
  description:
    "scheduled without a start: it waits for its start by hand; finishing: no vehicle joins, those under way end",
});
export type CampaignState = Static<typeof CampaignState>;

/** When a wave opens: so long after the one before, or by what became of the vehicles in that. */
const WaveGate = Type.Union([
  Type.Object(
    { after_min: Minutes("From the opening of the wave before") },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      min_finished: Type.Integer({
        minimum: 1,
        maximum: 100_000_000,
        description: "So many vehicles of the wave before have ended, well or badly",
      }),
      max_failure_rate: Rate("Of these, no larger part failed or rolled back"),
      soak_min: Minutes("So long both must hold"),
    },
    { additionalProperties: false },
  ),
]);

export const Wave = Type.Object(
  {
    share: Type.Number({
      exclusiveMinimum: 0,
      maximum: 100,
      description: "Percent of the campaign's vehicles; those of all waves make 100",
    }),
    gate: Type.Optional(WaveGate),
  },
  {
    additionalProperties: false,
    description: "The first wave opens with the campaign and has no gate; every other one has",
  },
);
export type Wave = Static<typeof Wave>;

/** Failures are counted over vehicles that have ended, per ECU type and hardware version. */
export const StopRule = Type.Object(
  {
    max_failure_rate: Rate("The campaign stops once the true rate is larger than this"),
    confidence: Type.Number({
      default: 0.95,
      minimum: 0.5,
      maximum: 0.999,
      description: "How certain that has to be (Wilson's lower bound)",
    }),
    min_sample: Type.Integer({
      default: 5,
      minimum: 1,
      maximum: 1_000_000,
      description: "Nothing is concluded from fewer vehicles",
    }),
  },
  { additionalProperties: false },
);
export type StopRule = Static<typeof StopRule>;

const content = {
  name: text(campaignLimits.name, { minLength: 1, examples: ["Brake controller 1.2.0"] }),
  description: Type.Optional(text(campaignLimits.description)),
  releases: Type.Array(Uuid, {
    maxItems: campaignLimits.releases,
    uniqueItems: true,
    description: "Firmware with availability `campaign`",
  }),
  filter: Type.Optional(
    orNull(
      text(campaignLimits.filter, {
        minLength: 1,
        description: "Which vehicles, in the language of docs/filters.md; `all` for every one",
      }),
    ),
  ),
  vins: Type.Optional(
    orNull(
      Type.Array(VehicleId, {
        minItems: 1,
        maxItems: campaignLimits.vins,
        uniqueItems: true,
        description: "Only these; where there is a filter too, those of them that match it",
      }),
    ),
  ),
  percentage: Type.Number({
    default: 100,
    exclusiveMinimum: 0,
    maximum: 100,
    description: "Of the vehicles above, chosen by hash",
  }),
  waves: Type.Array(Wave, {
    default: [{ share: 100 }],
    minItems: 1,
    maxItems: campaignLimits.waves,
  }),
  critical: Type.Boolean({
    default: false,
    description: "Goes before campaigns that are not; windows and consent hold all the same",
  }),
  starts_at: Type.Optional(orNull(Timestamp)),
  ends_at: Type.Optional(orNull(Timestamp)),
  dynamic: Type.Boolean({
    default: true,
    description:
      "false: only vehicles that were registered before the start; of these, those that come to match later join",
  }),
  stop_rule: Type.Optional(orNull(StopRule)),
  deadline_min: Type.Integer({
    default: 30,
    minimum: 1,
    maximum: 10_080,
    description: "From the start of an installation to its proof; later it counts as failed",
  }),
  soak_min: Type.Integer({
    default: 0,
    minimum: 0,
    maximum: campaignLimits.minutes,
    description: "So long a vehicle must stay as it is before it counts as succeeded",
  }),
  new_dtcs: Type.Enum(["count", "ignore"], {
    default: "ignore",
    description: "count: a DTC that is new after the update makes it a failure",
  }),
  min_profile: Type.Optional(
    orNull(
      Type.Integer({
        minimum: 0,
        maximum: 12,
        description: "Only vehicles whose last connection was by this TLS profile or a later one",
      }),
    ),
  ),
};

/** What an operator says of a campaign. */
export const CampaignContent = Type.Object(content, {
  additionalProperties: false,
  examples: [
    {
      name: "Brake controller 1.2.3",
      description: "Shorter stopping distance on wet roads",
      releases: ["019c2f4e-7d3a-7b10-8c55-5f2d6c1b9e01"],
      filter: 'region == "EU" and model == "Lattice One"',
      percentage: 100,
      waves: [
        { share: 5 },
        { share: 100, gate: { min_finished: 50, max_failure_rate: 0.02, soak_min: 1440 } },
      ],
      stop_rule: { max_failure_rate: 0.02, confidence: 0.95, min_sample: 20 },
      starts_at: "2026-02-02T20:00:00Z",
      ends_at: "2026-03-02T20:00:00Z",
    },
  ],
});
export type CampaignContent = Static<typeof CampaignContent>;

const Revision = Type.Integer({
  minimum: 1,
  description: "Of the campaign as it was read; what has changed since is not acted upon",
});

/** Replaces members of a draft; null takes one away. */
export const CampaignPatch = Type.Object(
  {
    revision: Revision,
    ...Type.Partial(
      Type.Object({
        ...content,
        // Without their defaults: what is left out stays as it is.
        description: orNull(text(campaignLimits.description)),
        percentage: Type.Number({ exclusiveMinimum: 0, maximum: 100 }),
        waves: Type.Array(Wave, { minItems: 1, maxItems: campaignLimits.waves }),
        critical: Type.Boolean(),
        dynamic: Type.Boolean(),
        deadline_min: Type.Integer({ minimum: 1, maximum: 10_080 }),
        soak_min: Type.Integer({ minimum: 0, maximum: campaignLimits.minutes }),
        new_dtcs: Type.Enum(["count", "ignore"]),
      }),
    ).properties,
  },
  { minProperties: 2, additionalProperties: false, examples: [{ revision: 3, percentage: 50 }] },
);
export type CampaignPatch = Static<typeof CampaignPatch>;

const comment = Type.Optional(
  text(campaignLimits.comment, { minLength: 1, description: "Kept with the campaign and the log" }),
);

/** With every action on a campaign; where a revision is said, only on that one. */
export const CampaignAction = Type.Object(
  { revision: Type.Optional(Revision), comment },
  { additionalProperties: false, examples: [{ revision: 3, comment: "As agreed on Monday" }] },
);
export type CampaignAction = Static<typeof CampaignAction>;

/** Approval is of what was read, and of nothing that came later. */
export const CampaignApproval = Type.Object(
  { revision: Revision, comment },
  { additionalProperties: false, examples: [{ revision: 3, comment: "Dry run looked at" }] },
);

/** null: it is started by hand, or has no end. */
export const CampaignSchedule = Type.Object(
  {
    revision: Type.Optional(Revision),
    comment,
    starts_at: orNull(Timestamp),
    ends_at: Type.Optional(orNull(Timestamp)),
  },
  {
    additionalProperties: false,
    examples: [{ revision: 3, starts_at: "2026-02-02T20:00:00Z", ends_at: "2026-03-02T20:00:00Z" }],
  },
);
export type CampaignSchedule = Static<typeof CampaignSchedule>;

/** The figures by which a campaign was stopped, or would be. */
export const StopFinding = Type.Object({
  scope: Type.Union([
    Type.Literal("whole"),
    Type.Object({ ecu_type: EcuType, hardware_version: HardwareVersion }),
  ]),
  failed: Type.Integer({ minimum: 0 }),
  finished: Type.Integer({ minimum: 0, description: "Among them those that failed" }),
  lower_bound: Type.Number({ description: "The true rate is larger, with the rule's confidence" }),
  threshold: Type.Number({ description: "What the rule allows" }),
});
export type StopFinding = Static<typeof StopFinding>;

/** Why a campaign is in its state, where somebody or something else than its course brought it there. */
export const CampaignReason = Type.Object({
  code: Type.String({ description: "Stable code, see docs/errors.md" }),
  detail: Type.String(),
  finding: Type.Optional(StopFinding),
});
export type CampaignReason = Static<typeof CampaignReason>;

/** Which campaigns a list shows. */
export const CampaignQuery = Type.Object({
  name: Type.Optional(
    text(campaignLimits.name, { minLength: 1, description: "Called so, in capitals or not" }),
  ),
  state: Type.Optional(CampaignState),
  release: Type.Optional({ ...Uuid, description: "That bring this firmware" }),
});
export type CampaignQuery = Static<typeof CampaignQuery>;

const summary = {
  campaign_id: Uuid,
  revision: Type.Integer({ description: "Counts changes of content and state" }),
  state: CampaignState,
  state_since: Timestamp,
  state_reason: orNull(CampaignReason),
  name: Type.String(),
  releases: Type.Array(Uuid),
  filter: orNull(Type.String()),
  vin_count: orNull(Type.Integer({ description: "null: every vehicle that matches the filter" })),
  percentage: Type.Number(),
  waves: Type.Array(Wave),
  waves_opened: Type.Array(Timestamp, {
    description: "When each wave opened; those missing at the end have not",
  }),
  critical: Type.Boolean(),
  starts_at: orNull(Timestamp),
  ends_at: orNull(Timestamp),
  dynamic: Type.Boolean(),
  created_by: Type.String(),
  created_at: Timestamp,
  submitted_by: orNull(Type.String()),
  approved_by: orNull(Type.String()),
  started_at: orNull(Timestamp),
  ended_at: orNull(Timestamp),
};

/** A campaign as lists show it. */
export const CampaignSummary = Type.Object(summary);
export type CampaignSummary = Static<typeof CampaignSummary>;

export const Campaign = Type.Object({
  ...summary,
  description: orNull(Type.String()),
  vins: orNull(Type.Array(VehicleId)),
  stop_rule: orNull(StopRule),
  deadline_min: Type.Integer(),
  soak_min: Type.Integer(),
  new_dtcs: Type.Enum(["count", "ignore"]),
  min_profile: orNull(Type.Integer()),
  cloned_from: orNull(Uuid),
  authors: Type.Array(Type.String(), {
    description: "Who had a hand in its content, and may not approve it",
  }),
  submitted_at: orNull(Timestamp),
  approved_at: orNull(Timestamp),
});
export type Campaign = Static<typeof Campaign>;

export const campaignVehicleStatuses = [
  "waiting",
  "updating",
  "soaking",
  "succeeded",
  "failed",
  "rolled_back",
  "reverting",
  "reverted",
] as const;
export const CampaignVehicleStatus = Type.Enum(campaignVehicleStatuses, {
  description:
    "waiting: it has begun and is between two steps, or is to try again; rolled_back: the update failed and it runs what it ran before; reverted: it succeeded and was taken back by an operator",
});
export type CampaignVehicleStatus = Static<typeof CampaignVehicleStatus>;

/** A vehicle that takes part in a campaign, from its first package on. */
export const CampaignVehicle = Type.Object({
  campaign_id: Uuid,
  vin: VehicleId,
  wave: Type.Integer({ minimum: 0, description: "Counted from 0" }),
  status: CampaignVehicleStatus,
  update_id: orNull(Uuid),
  attempts: Type.Integer({ description: "How many updates were begun" }),
  reason: orNull(CampaignReason),
  soak_until: orNull(Timestamp),
  joined_at: Timestamp,
  finished_at: orNull(Timestamp),
  dtcs: orNull(
    Type.Array(Type.Object({ ecu_id: Type.String(), code: Type.String() }), {
      description: "Trouble codes that were new after one of its updates; null: none are known",
    }),
  ),
  command_id: Type.Union([Uuid, Type.Null()], {
    description: "Of the newest command by which the campaign told it to go back",
  }),
});
export type CampaignVehicle = Static<typeof CampaignVehicle>;
