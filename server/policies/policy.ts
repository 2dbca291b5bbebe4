import type {
  EffectivePolicy,
  GroupPolicy,
  PolicyAnswer,
  PolicyChange,
  PolicySettings,
} from "#protocol/api/policy.ts";
import { ProblemError, type ProblemCode } from "#protocol/api/problem.ts";
import { permission, type Approval } from "./readiness.ts";
import { windowState } from "./window.ts";

/** A vehicle's policy, as decisions need it. */
export interface Policy extends PolicySettings {
  source: EffectivePolicy["source"];
  /** null: the gateway's configuration. */
  policy_id: string | null;
  name: string | null;
}

/** What is set, over what the gateway's configuration says. */
export function policyOf(
  defaults: PolicySettings,
  change: PolicyChange,
  origin: Pick<Policy, "source" | "policy_id" | "name">,
): Policy {
  return { ...defaults, ...change, ...origin };
}

/** @throws ProblemError POLICY_INVALID for windows without a schedule, or a schedule without any */
export function checkSettings(defaults: PolicySettings, change: PolicyChange): void {
  const { mode, windows } = { ...defaults, ...change };
  if (mode === "scheduled" && windows.length === 0) {
    throw new ProblemError("POLICY_INVALID", "mode scheduled needs a window");
  }
  if (mode !== "scheduled" && (change.windows?.length ?? 0) > 0) {
    throw new ProblemError("POLICY_INVALID", `mode ${mode} knows no windows`);
  }
}

/**
 * Whether a vehicle may be given a package now.
 * @throws ProblemError UPDATE_NOT_APPROVED, UPDATE_WINDOW_CLOSED, with when to ask again
 */
export function demandPermission(
  policy: PolicySettings,
  vehicle: { time_zone: string | null },
  approval: Approval | undefined,
  now: Date,
): void {
  const { time_zone } = vehicle;
  const [reason] = permission({ policy, time_zone, approval, now });
  if (reason === undefined) return;
  const code = reason.code === "POLICY_MANUAL" ? "UPDATE_NOT_APPROVED" : "UPDATE_WINDOW_CLOSED";
  throw new NotNowError(code, reason.detail, reason.retry_after_s);
}

/** The policy does not let a vehicle update now. */
class NotNowError extends ProblemError {
  override readonly retry_after_s: number | undefined;

  constructor(code: ProblemCode, detail: string, retryAfterS: number | undefined) {
    super(code, detail);
    this.name = "NotNowError";
    this.retry_after_s = retryAfterS;
  }
}

/** What a vehicle is told of its policy, with the state of its windows. */
export function policyAnswer(
  { source: _, policy_id: __, name: ___, ...settings }: Policy,
  { time_zone }: { time_zone: string | null },
  now: Date,
): PolicyAnswer {
  if (settings.mode !== "scheduled") return { ...settings, window: null };
  const state = windowState(settings.windows, time_zone, now);
  const window = {
    open: state.open,
    opens_at: state.open ? null : (state.opens_at?.toISOString() ?? null),
    closes_at: state.open ? state.closes_at.toISOString() : null,
  };
  return { ...settings, window };
}

/** Lowest position first; the older one of two. */
export function inOrder(a: GroupPolicy, b: GroupPolicy): number {
  return a.position - b.position || (a.policy_id < b.policy_id ? -1 : 1);
}
