import Type, { type Static } from "typebox";
import { CampaignState, StopFinding } from "./campaign.ts";
import { EcuType, HardwareVersion, Timestamp, Uuid } from "./identifier.ts";

const Count = (description?: string) =>
  Type.Integer({ minimum: 0, ...(description !== undefined && { description }) });
const orNull = <Schema extends Parameters<typeof Type.Union>[0][number]>(schema: Schema) =>
  Type.Union([schema, Type.Null()]);

/** A share of vehicles that have ended, with its bounds at the stop rule's confidence, or 0.95. */
const Rate = Type.Object({
  rate: Type.Number(),
  lower: Type.Number(),
  upper: Type.Number(),
});

const figures = {
  started: Count("Vehicles that were given a package"),
  soaking: Count("Show what they were given, and are being watched"),
  succeeded: Count(),
  failed: Count("And not rolled back"),
  rolled_back: Count("Failed, and run what they ran before"),
  reverted: Count("Succeeded, and were taken back"),
  silent: Count("Of the failed: nothing was heard by the deadline"),
  new_dtcs: Count("Of the failed: by DTCs that are new after the update"),
  failure_rate: orNull(Rate),
  success_rate: orNull(Rate),
};
const whole = {
  ...figures,
  waiting: Count("Have not begun, wait between two steps, or for another try"),
  updating: Count(),
};

const NextWave = Type.Object({
  wave: Count("Counted from 0"),
  opens_at: orNull(Timestamp),
  waits_for: Type.Enum(["time", "finished_vehicles", "fewer_failures", "campaign"], {
    description: "campaign: it does not run",
  }),
  gate: orNull(
    Type.Object(
      {
        finished: Count("Vehicles of the wave before that have ended for good"),
        min_finished: Count("So many must have"),
        failed: Count("Of those that have ended"),
        max_failure_rate: Type.Number({ description: "No larger part may have failed" }),
      },
      { description: "null: it opens by time" },
    ),
  ),
});

/** How far a campaign has come, by its counters. */
export const CampaignProgress = Type.Object({
  campaign_id: Uuid,
  state: CampaignState,
  total: Type.Object(whole),
  waves: Type.Array(
    Type.Object({
      wave: Count("Counted from 0"),
      opened_at: orNull(Timestamp),
      open_s: orNull(Count("For so long")),
      ...whole,
    }),
  ),
  groups: Type.Array(
    Type.Object({ ecu_type: EcuType, hardware_version: HardwareVersion, ...figures }),
    { description: "Vehicles by their ECUs; a failure counts for those that it was by" },
  ),
  next_wave: orNull(NextWave),
  stop_rule: orNull(
    Type.Object({
      stop: Type.Boolean(),
      findings: Type.Array(StopFinding, { description: "The whole, then what fails most surely" }),
    }),
  ),
  retrying: Type.Boolean({ description: "Failed vehicles are still being given another try" }),
  reverting: Type.Boolean({ description: "Vehicles are still being told to go back" }),
  running_s: orNull(Count("From its start to now, or to its end")),
});
export type CampaignProgress = Static<typeof CampaignProgress>;

/** The vehicles that succeeded are told to run again what they ran before. */
export const CampaignRollback = Type.Object(
  {
    per_min: Type.Integer({
      default: 60,
      minimum: 1,
      maximum: 10_000,
      description: "So many vehicles a minute",
    }),
    comment: Type.Optional(
      Type.String({ minLength: 1, maxLength: 1024, pattern: "^[^\\u0000]*$" }),
    ),
  },
  {
    additionalProperties: false,
    examples: [{ per_min: 60, comment: "Pedal feels soft in the cold" }],
  },
);
export type CampaignRollback = Static<typeof CampaignRollback>;
