import type {
  Campaign as CampaignAnswer,
  CampaignSummary,
  CampaignVehicle as CampaignVehicleAnswer,
} from "#protocol/api/campaign.ts";
import type { Campaign, CampaignVehicle } from "./campaign.ts";
import type { ListedCampaign } from "./queries.ts";

/** A campaign as a list answers it. */
export function summaryOf(campaign: ListedCampaign): CampaignSummary {
  const { state_since, waves_opened, starts_at, ends_at, created_at, started_at, ended_at } =
    campaign;
  return {
    ...campaign,
    state_since: state_since.toISOString(),
    waves_opened: waves_opened.map((at) => at.toISOString()),
    starts_at: timestamp(starts_at),
    ends_at: timestamp(ends_at),
    created_at: created_at.toISOString(),
    started_at: timestamp(started_at),
    ended_at: timestamp(ended_at),
  };
}

/** A campaign as it is answered. */
export function answerOf(campaign: Campaign): CampaignAnswer {
  const { gate_met_at: _, changed_at: __, submitted_at, approved_at, ...rest } = campaign;
  return {
    ...rest,
    ...summaryOf({ ...rest, vin_count: campaign.vins?.length ?? null }),
    submitted_at: timestamp(submitted_at),
    approved_at: timestamp(approved_at),
  };
}

/** A vehicle that takes part, as it is answered. */
export function vehicleAnswerOf({ changed_at: _, ...row }: CampaignVehicle): CampaignVehicleAnswer {
  return {
    ...row,
    soak_until: timestamp(row.soak_until),
    joined_at: row.joined_at.toISOString(),
    finished_at: timestamp(row.finished_at),
  };
}

function timestamp(at: Date | null): string | null {
  return at?.toISOString() ?? null;
}
