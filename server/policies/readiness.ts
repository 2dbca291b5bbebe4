import type { PolicySettings } from "#protocol/api/policy.ts";
import type { ReadinessPhase, UpdateConditions } from "#protocol/api/readiness.ts";
import type { Deferral } from "#protocol/mqtt/deferral.ts";
import { windowState } from "./window.ts";

/** What an operator has said by a command that is under way. */
export interface Approval {
  /** Does it go before mode, windows and consent? */
  force: boolean;
}

export interface Ask {
  policy: PolicySettings;
  time_zone: string | null;
  phase: ReadinessPhase;
  conditions: UpdateConditions;
  /** Of the package, in bytes. */
  size: number;
  approval: Approval | undefined;
  now: Date;
}

export type Readiness = { ready: true } | { ready: false; reasons: Deferral[] };

/** What changes by itself or by the driver is asked for again after so long. */
const AGAIN_S = 300;
/** Nobody waits longer before asking again: a policy may change. */
const MOST_S = 86_400;

/**
 * Whether a vehicle may go on with an update, with every reason why not. What a policy demands to
 * know and the vehicle leaves out is a reason. A command with `force` goes before mode, window and
 * consent, never before what keeps the vehicle from harm.
 */
export function readiness(ask: Ask): Readiness {
  const reasons = [
    ...permission(ask),
    ...(ask.approval?.force === true ? [] : consent(ask)),
    ...battery(ask),
    ...storage(ask),
    ...parked(ask),
  ];
  return reasons.length === 0 ? { ready: true } : { ready: false, reasons };
}

/** Why the policy's mode does not let a vehicle update now, whatever state it is in. */
export function permission({
  policy,
  time_zone,
  approval,
  now,
}: Pick<Ask, "policy" | "time_zone" | "approval" | "now">): Deferral[] {
  if (approval?.force === true) return [];
  switch (policy.mode) {
    case "auto":
      return [];
    case "manual":
      if (approval !== undefined) return [];
      return [
        {
          code: "POLICY_MANUAL",
          detail: "the vehicle updates by an operator's command only, and none is under way",
          retry_after_s: bounded(policy.check_interval_s ?? MOST_S),
        },
      ];
    case "scheduled": {
      const state = windowState(policy.windows, time_zone, now);
      if (state.open) return [];
      const wait = state.opens_at === null ? Infinity : state.opens_at.getTime() - now.getTime();
      const when = state.opens_at?.toISOString().replace(".000Z", "Z") ?? "never";
      const clock = time_zone ?? "UTC, as the vehicle's time zone is unknown";
      return [
        {
          code: "WINDOW_CLOSED",
          detail: `the next window opens ${when}; windows go by the clock of ${clock}`,
          retry_after_s: bounded(wait / 1000),
        },
      ];
    }
  }
}

function consent({ policy, conditions }: Ask): Deferral[] {
  if (policy.consent === "not_required" || conditions.consent === true) return [];
  const detail =
    conditions.consent === false ? "the driver has not agreed" : "the driver was not asked";
  return [{ code: "CONSENT_MISSING", detail, retry_after_s: AGAIN_S }];
}

function battery({ policy, conditions }: Ask): Deferral[] {
  const { battery_soc: is } = conditions;
  const least = policy.min_battery_soc;
  if (least === null || (is !== undefined && is >= least)) return [];
  const detail = is === undefined ? `unknown; ${least} % are needed` : `${is} % of ${least} %`;
  return [{ code: "BATTERY_LOW", detail, retry_after_s: AGAIN_S }];
}

function storage({ policy, conditions, size, phase }: Ask): Deferral[] {
  const { free_storage_bytes: free } = conditions;
  const { bytes = 0, package_factor = 0 } = policy.min_free_storage ?? {};
  // By then the package itself is in it.
  const factor = phase === "download" ? package_factor : Math.max(0, package_factor - 1);
  const least = Math.max(bytes, Math.ceil(factor * size));
  if (least === 0 || (free !== undefined && free >= least)) return [];
  const detail = free === undefined ? `unknown; ${least} bytes are needed` : `${free} of ${least}`;
  return [{ code: "STORAGE_LOW", detail, retry_after_s: AGAIN_S }];
}

/** A download disturbs nobody at the wheel. */
function parked({ policy, conditions, phase }: Ask): Deferral[] {
  if (!policy.parked || phase === "download" || conditions.parked === true) return [];
  const detail = conditions.parked === false ? "the vehicle is on the road" : "unknown";
  return [{ code: "NOT_PARKED", detail, retry_after_s: AGAIN_S }];
}

function bounded(seconds: number): number {
  return Math.min(Math.max(Math.ceil(seconds), 1), MOST_S);
}
