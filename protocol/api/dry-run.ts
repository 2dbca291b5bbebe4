import Type, { type Static } from "typebox";
import { CampaignState } from "./campaign.ts";
import { Channel, EcuType, Uuid, VehicleId, Version } from "./identifier.ts";
import { blockedReasons, type BlockedReason } from "./ota.ts";

const Count = (description?: string) =>
  Type.Integer({ minimum: 0, ...(description === undefined ? {} : { description }) });
const Sample = Type.Array(VehicleId, { description: "Some of the vehicles" });

/** Why firmware that a campaign is to bring can't be brought by it. */
const releaseProblems = [
  "unknown",
  "archived",
  "awaiting_signature",
  /** Its availability is `channel`: every vehicle on the channel is offered it anyway. */
  "open",
] as const;

const DryRunRelease = Type.Object({
  firmware_id: Uuid,
  ecu_type: Type.Union([EcuType, Type.Null()]),
  version: Type.Union([Version, Type.Null()]),
  channel: Type.Union([Channel, Type.Null()]),
  problem: Type.Union([Type.Enum(releaseProblems), Type.Null()]),
});

/** What a campaign would do to the fleet as it is. */
export const DryRun = Type.Object({
  matched: Count("Fit filter, list and TLS profile"),
  members: Count(
    "Of these, by the percentage; exact for a campaign that is stored, for others about so many",
  ),
  waves: Type.Array(
    Type.Object({ wave: Count("Counted from 0"), members: Count(), planned: Count() }),
  ),
  planned: Type.Object({
    vehicles: Count("Members that get something"),
    bundles: Type.Array(Type.Object({ bundles: Count(), vehicles: Count() }), {
      description: "How many updates one after the other they take",
    }),
    bytes: Type.Object(
      {
        total: Type.Number({ description: "Of all vehicles together" }),
        p50: Count("Of a vehicle"),
        max: Count("Of a vehicle"),
      },
      { description: "To download, compressed" },
    ),
    ecus: Type.Array(
      Type.Object({ ecu_type: EcuType, version: Version, ecus: Count(), vehicles: Count() }),
      { description: "What is installed on which ECUs, steps included" },
    ),
  }),
  up_to_date: Count("Members that run all of it already, or something newer"),
  not_concerned: Count("Members without an ECU of these types"),
  without_vci: Count("Members that have not told what they consist of"),
  blocked: Type.Object({
    vehicles: Count("Members that lack something and get nothing"),
    reasons: Type.Array(
      Type.Object({
        reason: Type.Enum(Object.keys(blockedReasons) as BlockedReason[]),
        vehicles: Count("Those that get something else, too"),
        ecus: Count(),
        detail: Type.String({ description: "Of one of them" }),
        sample: Sample,
      }),
      { description: "Why ECUs don't get what the campaign brings, the most frequent first" },
    ),
  }),
  conflicts: Type.Array(
    Type.Object({
      campaign_id: Uuid,
      name: Type.String(),
      state: CampaignState,
      ecu_types: Type.Array(EcuType),
      vehicles: Count("Get something for these ECUs by this campaign, and are the other's, too"),
      sample: Sample,
    }),
    { description: "Other campaigns for the same ECUs; whichever goes later waits" },
  ),
  releases: Type.Array(DryRunRelease),
  warnings: Type.Array(
    Type.Object({
      code: Type.Enum(["WAVE_GATE_OUT_OF_REACH", "STOP_RULE_OUT_OF_REACH"], {
        description: "Stable code, see docs/reasons.md",
      }),
      wave: Type.Union([Count("Counted from 0"), Type.Null()], {
        description: "null: the campaign as a whole",
      }),
      detail: Type.String(),
    }),
    {
      description: "What can't happen with the vehicles that there are; nothing is refused for it",
    },
  ),
});
export type DryRun = Static<typeof DryRun>;
