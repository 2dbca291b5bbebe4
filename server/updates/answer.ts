import type { CheckAnswer, PackageAnswer } from "#protocol/api/ota.ts";
import type { PlannedEcu } from "#server/firmware/planner.ts";
import type { Package } from "#server/packages/package.ts";
import { policyAnswer } from "#server/policies/policy.ts";
import type { CheckedPlan } from "./plans.ts";

export function checkAnswer({ plan, offer, policy, vehicle }: CheckedPlan): CheckAnswer {
  return {
    outdated_ecus: plan.outdated.map(outdatedEcu),
    ...(plan.later.length > 0 && { later: plan.later.map((bundle) => bundle.map(outdatedEcu)) }),
    blocked: plan.blocked.map(({ ecu, reason, detail }) => ({
      ecu_id: ecu.ecu_id,
      reason,
      detail,
    })),
    ...(plan.held.length > 0 && {
      held: plan.held.map(({ ecu, reason, detail, newestVersion }) => ({
        ecu_id: ecu.ecu_id,
        reason,
        detail,
        newest_version: newestVersion,
      })),
    }),
    ...(offer && { campaign_id: offer.campaign_id }),
    policy: policyAnswer(policy, vehicle, new Date()),
  };
}

function outdatedEcu({ ecu, release, newestVersion }: PlannedEcu) {
  return {
    ecu_id: ecu.ecu_id,
    zone_id: ecu.zone_id,
    current_version: ecu.software_version,
    target_version: release.version,
    newest_version: newestVersion,
    firmware_id: release.firmware_id,
    size: release.size,
    critical: release.critical,
  };
}

export function packageAnswer(
  found: Package,
  wanted: readonly PlannedEcu[],
  update_id: string,
  expires_at: Date,
): PackageAnswer {
  return {
    package_id: found.package_id,
    update_id,
    download_url: `/api/v1/ota/package/${found.package_id}`,
    size: found.size,
    checksum: `sha256:${found.sha256}`,
    expires_at: expires_at.toISOString(),
    zones: found.zones.map((zone) => ({
      ...zone,
      ecus: wanted
        .filter(({ ecu }) => ecu.zone_id === zone.zone_id)
        .map(({ ecu, release }) => ({
          ecu_id: ecu.ecu_id,
          current_version: ecu.software_version,
          target_version: release.version,
          firmware_id: release.firmware_id,
        })),
    })),
  };
}
