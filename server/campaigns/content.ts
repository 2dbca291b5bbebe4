import { compareBuild, gte } from "semver";
import type { Wave } from "#protocol/api/campaign.ts";
import type { Firmware } from "#protocol/api/firmware.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { parseFilter } from "#server/targeting/filter.ts";
import type { Campaign } from "./campaign.ts";

/**
 * Refuses what no campaign can say, also not a draft.
 * @throws ProblemError CAMPAIGN_WAVES_INVALID, CAMPAIGN_TIMES_INVALID, FILTER_INVALID
 */
export function checkContent(
  campaign: Pick<Campaign, "filter" | "waves" | "starts_at" | "ends_at">,
): void {
  checkWaves(campaign.waves);
  checkTimes(campaign);
  if (campaign.filter !== null) parseFilter(campaign.filter);
}

/** @throws ProblemError CAMPAIGN_WAVES_INVALID */
function checkWaves(waves: readonly Wave[]): void {
  const sum = waves.reduce((total, { share }) => total + share, 0);
  if (Math.abs(sum - 100) > 1e-6) {
    throw new ProblemError("CAMPAIGN_WAVES_INVALID", `the shares make ${sum}, not 100`);
  }
  for (const [index, { gate }] of waves.entries()) {
    if (index === 0 && gate !== undefined) {
      throw new ProblemError("CAMPAIGN_WAVES_INVALID", "the first wave opens with the campaign");
    }
    if (index > 0 && gate === undefined) {
      throw new ProblemError(
        "CAMPAIGN_WAVES_INVALID",
        `wave ${index + 1} does not say when it opens`,
      );
    }
  }
}

/** @throws ProblemError CAMPAIGN_TIMES_INVALID */
export function checkTimes({ starts_at, ends_at }: Pick<Campaign, "starts_at" | "ends_at">): void {
  for (const time of [starts_at, ends_at]) {
    if (time !== null && Number.isNaN(time.getTime())) {
      throw new ProblemError("CAMPAIGN_TIMES_INVALID", "there is no such day");
    }
  }
  if (starts_at !== null && ends_at !== null && ends_at <= starts_at) {
    throw new ProblemError("CAMPAIGN_TIMES_INVALID", "it would end before it starts");
  }
}

/** @throws ProblemError CAMPAIGN_TIMES_INVALID when its end has passed */
export function demandTimeLeft({ ends_at }: Pick<Campaign, "ends_at">, now: Date): void {
  if (ends_at !== null && ends_at <= now) {
    throw new ProblemError("CAMPAIGN_TIMES_INVALID", `its end, ${ends_at.toISOString()}, is over`);
  }
}

/**
 * Whoever means every vehicle says so by the filter `all`.
 * @throws ProblemError CAMPAIGN_INCOMPLETE
 */
export function demandTarget({ filter, vins }: Pick<Campaign, "filter" | "vins">): void {
  if (filter !== null || vins !== null) return;
  throw new ProblemError("CAMPAIGN_INCOMPLETE", "it says no vehicles, by filter or list");
}

/** What the catalogue says of a campaign's firmware. */
export type CampaignFirmware = Pick<
  Firmware,
  | "firmware_id"
  | "ecu_type"
  | "version"
  | "hardware_versions"
  | "min_current_version"
  | "status"
  | "publication"
  | "availability"
>;

/**
 * Refuses firmware that can't be had, that everybody is offered already, or that is twice for one
 * ECU.
 * @throws ProblemError CAMPAIGN_INCOMPLETE, CAMPAIGN_RELEASE_UNAVAILABLE, CAMPAIGN_RELEASE_OPEN,
 *   CAMPAIGN_RELEASES_CONFLICT
 */
export function checkReleases(
  releases: readonly string[],
  known: readonly CampaignFirmware[],
): void {
  if (releases.length === 0) throw new ProblemError("CAMPAIGN_INCOMPLETE", "it has no releases");
  const byId = new Map(known.map((each) => [each.firmware_id, each]));
  const firmware = releases.map((id) => {
    const each = byId.get(id);
    const lacks =
      each === undefined
        ? "is unknown"
        : each.status === "archived"
          ? "is archived"
          : each.publication === "awaiting_signature"
            ? "waits for its signature"
            : undefined;
    if (each === undefined || lacks !== undefined) {
      throw new ProblemError("CAMPAIGN_RELEASE_UNAVAILABLE", `${nameOf(id, each)} ${lacks}`);
    }
    return each;
  });
  const open = firmware.find(({ availability }) => availability === "channel");
  if (open !== undefined) {
    throw new ProblemError("CAMPAIGN_RELEASE_OPEN", nameOf(open.firmware_id, open));
  }
  for (const ofType of Map.groupBy(firmware, ({ ecu_type }) => ecu_type).values()) {
    checkChain(ofType);
  }
}

/**
 * Of several releases for one ECU each later one must need the one before: else the newest alone
 * would ever be installed.
 */
function checkChain(releases: readonly CampaignFirmware[]): void {
  const ordered = releases.toSorted((a, b) => compareBuild(a.version, b.version));
  for (const [index, later] of ordered.entries()) {
    const earlier = ordered
      .slice(0, index)
      .findLast((each) =>
        each.hardware_versions.some((hw) => later.hardware_versions.includes(hw)),
      );
    if (earlier === undefined) continue;
    const minimum = later.min_current_version;
    if (minimum === null || !gte(earlier.version, minimum)) {
      throw new ProblemError(
        "CAMPAIGN_RELEASES_CONFLICT",
        `${earlier.version} and ${later.version} for ${later.ecu_type} are no steps of one chain`,
      );
    }
  }
}

function nameOf(id: string, firmware: CampaignFirmware | undefined): string {
  return firmware === undefined ? id : `${firmware.ecu_type} ${firmware.version}`;
}
