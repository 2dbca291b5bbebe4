import Type, { type Static } from "typebox";
import { CampaignReason, CampaignState, CampaignVehicleStatus } from "./campaign.ts";
import {
  Channel,
  EcuId,
  EcuType,
  HardwareVersion,
  Timestamp,
  Uuid,
  VehicleId,
  Version,
} from "./identifier.ts";
import { notOfferedReasons, type NotOfferedReason } from "./ota.ts";
import { EffectivePolicy } from "./policy.ts";
import { UpdateStatus } from "./update.ts";

const orNull = <Schema extends Type.TSchema>(schema: Schema, description?: string) =>
  Type.Union([schema, Type.Null()], description === undefined ? {} : { description });

/** Which firmware is meant: by its id, or by ECU type and version. */
export const ExplainQuery = Type.Object({
  firmware_id: Type.Optional(Uuid),
  ecu_type: Type.Optional(EcuType),
  version: Type.Optional(Version),
});
export type ExplainQuery = Static<typeof ExplainQuery>;

const Reason = Type.Object({
  code: Type.String({ description: "Stable code" }),
  detail: Type.String(),
  retry_after_s: Type.Optional(
    Type.Integer({ minimum: 0, description: "When the vehicle is to ask again" }),
  ),
});

const ExplainedEcu = Type.Object({
  ecu_id: EcuId,
  hardware_version: HardwareVersion,
  software_version: Version,
  offer: Type.Enum(["now", "later", "installed", "newer_installed", "none"]),
  after_bundles: orNull(
    Type.Integer({ minimum: 1 }),
    "later: once so many updates before it are confirmed",
  ),
  reasons: Type.Array(
    Type.Object({
      code: Type.Enum(Object.keys(notOfferedReasons) as NotOfferedReason[]),
      detail: Type.String(),
    }),
    { description: "none: each reason by itself" },
  ),
});

const ExplainedCampaign = Type.Object({
  campaign_id: Uuid,
  name: Type.String(),
  state: CampaignState,
  offers: Type.Boolean({ description: "The vehicle has what it is offered from this campaign" }),
  reasons: Type.Array(CampaignReason, { description: "Why it has nothing for the vehicle now" }),
  unmatched: Type.Array(Type.String(), {
    description: "Parts of the campaign's filter that the vehicle does not match",
  }),
  wave: orNull(Type.Integer({ minimum: 0 }), "Counted from 0; null: beyond the percentage"),
  wave_opens_at: orNull(Timestamp, "Where the vehicle's wave is the next, and opens by time alone"),
  part: orNull(
    Type.Object({
      status: CampaignVehicleStatus,
      attempts: Type.Integer(),
      reason: orNull(CampaignReason),
    }),
    "What became of the vehicle there",
  ),
});

/** Why a vehicle gets a firmware, or each reason why it does not. */
export const Explanation = Type.Object({
  vin: VehicleId,
  firmware: Type.Object({
    firmware_id: Uuid,
    ecu_type: EcuType,
    version: Version,
    channel: Channel,
    availability: Type.Enum(["channel", "campaign"]),
  }),
  verdict: Type.Enum(
    ["offered", "waits", "later", "under_way", "installed", "not_offered"] as const,
    {
      description:
        "offered: the vehicle gets it when it asks; waits: it would, but for `reasons`; later: after other updates; installed: it runs this or something newer",
    },
  ),
  reasons: Type.Array(Reason, { description: "What is in the way for the vehicle as a whole" }),
  ecus: Type.Array(ExplainedEcu, { description: "Every ECU of the firmware's type" }),
  campaigns: Type.Array(ExplainedCampaign, {
    description: "Campaigns that bring this firmware, newest first, 20 at the most",
  }),
  policy: EffectivePolicy,
  update: orNull(
    Type.Object({ update_id: Uuid, status: UpdateStatus, campaign_id: orNull(Uuid) }),
    "Under way",
  ),
});
export type Explanation = Static<typeof Explanation>;
