import type { Explanation } from "#protocol/api/explain.ts";
import type { Firmware } from "#protocol/api/firmware.ts";
import type { Db } from "#server/database/connection.ts";
import { FilterError } from "#server/targeting/filter-error.ts";
import { parseFilter } from "#server/targeting/filter.ts";
import { share } from "#server/targeting/membership.ts";
import { unmetParts } from "#server/targeting/unmet.ts";
import type { TargetVehicle } from "#server/targeting/vehicle.ts";
import type { Offer } from "#server/updates/offer.ts";
import { waveOf, type Campaign } from "./campaign.ts";
import { campaignsBringing, partsIn } from "./explain-queries.ts";
import type { CampaignOffers } from "./offers.ts";

/** Campaigns that are explained. */
const MAX_CAMPAIGNS = 20;

/** What each campaign that brings a firmware has for a vehicle, or why it has nothing. */
export async function explainCampaigns(
  { db, offers }: { db: Db; offers: CampaignOffers },
  {
    vehicle,
    state,
    firmware,
    offer,
  }: {
    vehicle: TargetVehicle;
    /** What the database brought for the offers. */
    state: unknown;
    firmware: Firmware;
    /** What the vehicle is given now. */
    offer: Offer | undefined;
  },
): Promise<Explanation["campaigns"]> {
  const campaigns = await campaignsBringing(db, firmware.firmware_id, MAX_CAMPAIGNS);
  const ids = campaigns.map(({ campaign_id }) => campaign_id);
  const parts = new Map(
    (await partsIn(db, vehicle.vin, ids)).map(({ campaign_id, ...part }) => [campaign_id, part]),
  );
  return campaigns.map((campaign) => {
    const { campaign_id, name } = campaign;
    const wave = waveOf(campaign, share(campaign_id, vehicle.vin)) ?? null;
    return {
      ...{ campaign_id, name, state: campaign.state, wave },
      offers: offer?.campaign_id === campaign_id,
      reasons: offers.whyNot(vehicle, state, campaign),
      unmatched: unmatched(campaign, vehicle),
      wave_opens_at: opening(campaign, wave)?.toISOString() ?? null,
      part: parts.get(campaign_id) ?? null,
    };
  });
}

function unmatched({ filter }: Campaign, vehicle: TargetVehicle): string[] {
  if (filter === null) return [];
  try {
    return unmetParts(parseFilter(filter), vehicle);
  } catch (error) {
    if (error instanceof FilterError) return [filter];
    throw error;
  }
}

const MINUTE = 60_000;

/** When a wave opens, where nothing but time keeps it closed. */
function opening({ waves, waves_opened }: Campaign, wave: number | null): Date | undefined {
  const before = waves_opened.at(-1);
  if (wave === null || wave !== waves_opened.length || before === undefined) return undefined;
  const gate = waves[wave]?.gate;
  if (gate === undefined || !("after_min" in gate)) return undefined;
  return new Date(before.getTime() + gate.after_min * MINUTE);
}
