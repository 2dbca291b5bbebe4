import { gt } from "semver";
import { sql } from "kysely";
import type { CampaignReason, CampaignVehicleStatus } from "#protocol/api/campaign.ts";
import type { Deferral } from "#protocol/mqtt/deferral.ts";
import type { Tx } from "#server/database/connection.ts";
import type { Releases } from "#server/firmware/release-book.ts";
import type { Log } from "#server/runtime/log.ts";
import { matches } from "#server/targeting/filter.ts";
import { share } from "#server/targeting/membership.ts";
import type { TargetVehicle } from "#server/targeting/vehicle.ts";
import type { Offer, OfferSource } from "#server/updates/offer.ts";
import { book, type BookedCampaign, type CampaignBook } from "./book.ts";
import { hasEnded, waveOf, type Campaign } from "./campaign.ts";
import { courseOf } from "./queries.ts";

/** What became of a vehicle in each campaign that was asked for; null: it has not begun there. */
export type VehicleState = Readonly<Record<string, CampaignVehicleStatus | null>>;

export interface CampaignOffers extends OfferSource {
  /** Each reason for which a vehicle is not given what a campaign brings; none: it is. */
  whyNot(vehicle: TargetVehicle, state: unknown, campaign: Campaign): CampaignReason[];
  /**
   * What keeps a vehicle from going on with an update that it has been given, before it writes
   * flash; a reason without `retry_after_s` is for good.
   */
  mayGoOn(tx: Tx, update: { campaign_id: string | null }): Promise<Deferral[]>;
}

/** What campaigns have for a vehicle, by what is in memory and one look at the vehicle's row. */
export function createOffers(deps: {
  campaigns: CampaignBook;
  releases: { current(): Releases };
  log: Log;
}): CampaignOffers {
  const { campaigns, log } = deps;
  return {
    get state() {
      return stateOf(campaigns.active().map(({ campaign }) => campaign.campaign_id));
    },
    offers(vehicle, state) {
      const releases = deps.releases.current();
      return inTheirOrder(campaigns.active(), state as VehicleState | null).flatMap(
        ({ booked, status, before }) => {
          const to = { ...booked, status, releases, before };
          const { done } = reasonsAgainst(vehicle, to).next();
          return done === true ? [asOffer(booked.campaign, vehicle)] : [];
        },
      );
    },
    whyNot(vehicle, state, campaign) {
      const releases = deps.releases.current();
      const known = inTheirOrder(campaigns.active(), state as VehicleState | null);
      const found = known.find(
        ({ booked }) => booked.campaign.campaign_id === campaign.campaign_id,
      );
      const { booked, status, before } = found ?? {
        booked: book(campaign, log),
        status: null,
        before: [],
      };
      return [...reasonsAgainst(vehicle, { ...booked, status, releases, before })];
    },
    async mayGoOn(tx, { campaign_id }) {
      if (campaign_id === null) return [];
      // What is in memory is late where another gateway has stopped it, and flash is not unwritten.
      const campaign = await courseOf(tx, campaign_id);
      const reason = campaign
        ? (reasonOfState(campaign) ?? reasonOfReleases(campaign, deps.releases.current()))
        : { code: "CAMPAIGN_NOT_RUNNING", detail: "there is no such campaign" };
      if (reason === undefined) return [];
      const isOver = reason.code === "CAMPAIGN_NOT_RUNNING";
      return [isOver ? reason : { ...reason, retry_after_s: RETRY_S }];
    },
  };
}

/** When a vehicle asks again whether its campaign goes on, in seconds. */
const RETRY_S = 300;

/** The vehicle's place in these campaigns, as a {@link VehicleState} over `vehicle.vin`. */
function stateOf(campaignIds: readonly string[]) {
  // Most of the time there is none, and nothing to look up.
  if (campaignIds.length === 0) return sql<VehicleState | null>`null::jsonb`;
  return sql<VehicleState | null>`(
    select jsonb_object_agg(asked.campaign_id, campaign_vehicle.status)
    from unnest(${campaignIds}::uuid[]) as asked (campaign_id)
    left join campaign_vehicle
      on campaign_vehicle.campaign_id = asked.campaign_id and campaign_vehicle.vin = vehicle.vin
  )`;
}

interface Placed {
  booked: BookedCampaign;
  /** null: the vehicle has not begun there. */
  status: CampaignVehicleStatus | null;
  /** Those that go before it for this vehicle. */
  before: readonly Placed[];
  /** By ECU type, what {@link keeps} has said to those behind it. */
  kept: Map<string, boolean>;
}

/**
 * Campaigns in the order in which they go for a vehicle: one that it has begun is ended first. A
 * campaign that has come since the vehicle's state was read is left out, for that says nothing of it.
 */
function inTheirOrder(active: readonly BookedCampaign[], state: VehicleState | null): Placed[] {
  const begun: Placed[] = [];
  const others: Placed[] = [];
  for (const booked of active) {
    const status = state?.[booked.campaign.campaign_id];
    if (status === undefined) continue;
    const isUnderWay = status !== null && !hasEnded({ status });
    (isUnderWay ? begun : others).push({ booked, status, before: [], kept: new Map() });
  }
  const placed = [...begun, ...others];
  for (const [index, each] of placed.entries()) each.before = placed.slice(0, index);
  return placed;
}

interface Candidate extends BookedCampaign, Omit<Placed, "booked" | "kept"> {
  releases: Releases;
}

/** Reasons for which a vehicle does not get what a campaign brings, those that cost least first. */
function* reasonsAgainst(
  vehicle: TargetVehicle,
  candidate: Candidate,
): Generator<CampaignReason, void> {
  const { campaign, status, releases } = candidate;
  const ofState = reasonOfState(campaign);
  if (ofState) yield ofState;
  if (status !== null && status !== "waiting" && status !== "updating") {
    const detail = status === "soaking" ? "it is being watched" : `it has ${status} there`;
    yield { code: "CAMPAIGN_VEHICLE_ENDED", detail };
  }
  const unavailable = reasonOfReleases(campaign, releases);
  if (unavailable) yield unavailable;
  // Who has begun goes on to the end: steps on the way may change what the filter looks at.
  if (status === null) yield* reasonsAgainstJoining(vehicle, candidate);
  const holder = holderOf(vehicle, candidate);
  if (holder) {
    const { name, campaign_id } = holder.campaign.booked.campaign;
    yield {
      code: "CAMPAIGN_WAITS",
      detail: `${holder.ecuType} is kept by ${name} (${campaign_id}), which goes first`,
    };
  }
}

function reasonOfState({ state }: Pick<Campaign, "state">): CampaignReason | undefined {
  if (state === "running" || state === "finishing") return undefined;
  if (state === "paused") return { code: "CAMPAIGN_PAUSED", detail: "the campaign is paused" };
  return { code: "CAMPAIGN_NOT_RUNNING", detail: `the campaign is ${state}` };
}

function reasonOfReleases(
  { releases: brought }: Pick<Campaign, "releases">,
  { byId }: Releases,
): CampaignReason | undefined {
  const lost = brought.find((id) => !byId.has(id));
  return lost === undefined
    ? undefined
    : { code: "CAMPAIGN_RELEASE_WITHDRAWN", detail: `firmware ${lost} can't be had any more` };
}

function* reasonsAgainstJoining(
  vehicle: TargetVehicle,
  { campaign, filter, vins }: BookedCampaign,
): Generator<CampaignReason, void> {
  if (campaign.state === "finishing") {
    yield { code: "CAMPAIGN_NOT_RUNNING", detail: "the campaign takes no further vehicles" };
  }
  const wave = waveOf(campaign, share(campaign.campaign_id, vehicle.vin));
  if (wave === undefined) {
    const detail = `the vehicle is not among the ${campaign.percentage} % that were chosen`;
    yield { code: "CAMPAIGN_NOT_CHOSEN", detail };
  } else if (wave >= campaign.waves_opened.length) {
    const detail = `wave ${wave + 1} of ${campaign.waves.length} has not opened`;
    yield { code: "CAMPAIGN_WAVE_CLOSED", detail };
  }
  yield* reasonsAgainstTarget(vehicle, { campaign, filter, vins });
}

function* reasonsAgainstTarget(
  vehicle: TargetVehicle,
  { campaign, filter, vins }: BookedCampaign,
): Generator<CampaignReason, void> {
  const { min_profile, dynamic, started_at } = campaign;
  if (vins !== null && !vins.has(vehicle.vin)) {
    yield { code: "CAMPAIGN_NOT_TARGETED", detail: "the vehicle is not in the campaign's list" };
  }
  if (filter === "unreadable" || (filter !== null && !matches(filter, vehicle))) {
    yield {
      code: "CAMPAIGN_NOT_TARGETED",
      detail: `the vehicle does not match ${campaign.filter}`,
    };
  }
  if (!dynamic && started_at !== null && vehicle.registered_at >= started_at) {
    yield {
      code: "CAMPAIGN_NOT_TARGETED",
      detail: "the vehicle was registered after the campaign had started",
    };
  }
  if (min_profile !== null && (vehicle.profile ?? -1) < min_profile) {
    const has = vehicle.profile === null ? "none is known" : `its last one is ${vehicle.profile}`;
    yield { code: "CAMPAIGN_PROFILE_TOO_WEAK", detail: `needs TLS profile ${min_profile}, ${has}` };
  }
}

/** The campaign before this one that keeps an ECU type which both have something for. */
function holderOf(
  vehicle: TargetVehicle,
  { campaign, releases, before }: Candidate,
): { campaign: Placed; ecuType: string } | undefined {
  if (before.length === 0) return undefined;
  const wanted = typesOf(campaign, releases);
  for (const other of before) {
    const shared = typesOf(other.booked.campaign, releases).find((type) => wanted.includes(type));
    if (shared !== undefined && keeps(vehicle, other, releases, shared)) {
      return { campaign: other, ecuType: shared };
    }
  }
  return undefined;
}

/** Does a campaign have a vehicle's ECUs of this type to itself, now or when the vehicle's turn comes? */
function keeps(
  vehicle: TargetVehicle,
  placed: Placed,
  releases: Releases,
  ecuType: string,
): boolean {
  const known = placed.kept.get(ecuType) ?? isKeeping(vehicle, placed, releases, ecuType);
  placed.kept.set(ecuType, known);
  return known;
}

function isKeeping(
  vehicle: TargetVehicle,
  { booked, status }: Placed,
  releases: Releases,
  ecuType: string,
): boolean {
  const { campaign } = booked;
  if (status !== null) {
    if (hasEnded({ status })) return false;
    // One that waits may have been changed since, so that there is nothing left to wait for.
    return status !== "waiting" || bringsNewer(vehicle, campaign, releases, ecuType);
  }
  if (campaign.state === "finishing") return false;
  return (
    bringsNewer(vehicle, campaign, releases, ecuType) &&
    waveOf(campaign, share(campaign.campaign_id, vehicle.vin)) !== undefined &&
    reasonsAgainstTarget(vehicle, booked).next().done === true
  );
}

/** Where it has nothing for the vehicle, it need not be waited for. */
function bringsNewer(
  { inventory }: TargetVehicle,
  { releases: brought }: Campaign,
  { byId }: Releases,
  ecuType: string,
): boolean {
  const ecus = (inventory?.ecus ?? []).filter(({ ecu_type }) => ecu_type === ecuType);
  return brought.some((id) => {
    const release = byId.get(id);
    return (
      release?.ecu_type === ecuType &&
      ecus.some(
        (ecu) =>
          release.hardware_versions.includes(ecu.hardware_version) &&
          gt(release.version, ecu.software_version),
      )
    );
  });
}

function typesOf({ releases }: Campaign, { byId }: Releases): string[] {
  return releases.flatMap((id) => byId.get(id)?.ecu_type ?? []);
}

function asOffer(campaign: Campaign, { vin }: TargetVehicle): Offer {
  const { campaign_id, releases, deadline_min } = campaign;
  return {
    campaign_id,
    wave: waveOf(campaign, share(campaign_id, vin)) ?? 0,
    releases,
    deadline_min,
  };
}
