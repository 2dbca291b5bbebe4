import type { StopFinding, StopRule } from "#protocol/api/campaign.ts";

/** Vehicles of a campaign that have come to an end. */
export interface Outcomes {
  /** Their proof is there; those that soak count, too, or failures would be all there is at first. */
  succeeded: number;
  failed: number;
}

/** The vehicles as a whole, or those with ECUs of a type and hardware version. */
export type Scope = StopFinding["scope"];

export type Verdict = { stop: false } | { stop: true; because: StopFinding };

/**
 * Is the campaign to be stopped? It is when the share of failures exceeds the rule's with the
 * confidence asked for, among all finished vehicles or those of one ECU type and hardware: the
 * vehicles as a whole are named first, then the group that is surely worst.
 */
export function judge(rule: StopRule, groups: readonly (Outcomes & { scope: Scope })[]): Verdict {
  const worst = groups
    .map((group) => finding(rule, group))
    .filter((each) => each.finished >= rule.min_sample && each.lower_bound > each.threshold)
    .toSorted((one, other) => rank(one) - rank(other) || other.lower_bound - one.lower_bound)[0];
  return worst === undefined ? { stop: false } : { stop: true, because: worst };
}

/** The whole goes first. */
function rank({ scope }: StopFinding): number {
  return scope === "whole" ? 0 : 1;
}

/** What can be said of a group by the rule's confidence, whether it is enough or not. */
export function finding(
  { max_failure_rate, confidence }: Pick<StopRule, "max_failure_rate" | "confidence">,
  { scope, succeeded, failed }: Outcomes & { scope: Scope },
): StopFinding {
  const finished = succeeded + failed;
  const lower_bound = wilson(failed, finished, confidence).lower;
  return { scope, failed, finished, lower_bound, threshold: max_failure_rate };
}

/**
 * The Wilson score bounds of a share, each one-sided at the confidence. Of no trials, all is possible.
 * E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
 * @param confidence at least 0.5 and below 1
 */
export function wilson(
  count: number,
  trials: number,
  confidence: number,
): { lower: number; upper: number } {
  if (trials === 0) return { lower: 0, upper: 1 };
  const z = normalQuantile(confidence);
  const share = count / trials;
  const weight = 1 + z ** 2 / trials;
  const centre = share + z ** 2 / (2 * trials);
  const spread = z * Math.sqrt((share * (1 - share)) / trials + (z / (2 * trials)) ** 2);
  return {
    // Where the formula comes to 0 and 1 exactly, rounding must not say otherwise.
    lower: count === 0 ? 0 : (centre - spread) / weight,
    upper: count === trials ? 1 : (centre + spread) / weight,
  };
}

/**
 * The z below which a standard normal variable lies with this probability. P. J. Acklam's rational
 * approximation: the relative error is below 1.15e-9.
 * @throws RangeError unless the probability is at least 0.5 and below 1
 */
export function normalQuantile(probability: number): number {
  if (!(probability >= 0.5 && probability < 1)) {
    throw new RangeError(`a confidence is at least 0.5 and below 1, not ${probability}`);
  }
  if (probability > 1 - TAIL) {
    const q = Math.sqrt(-2 * Math.log(1 - probability));
    return -polynomial(tail.above, q) / polynomial(tail.below, q);
  }
  const q = probability - 0.5;
  return (q * polynomial(centre.above, q * q)) / polynomial(centre.below, q * q);
}

/** From here outwards the tail's approximation holds. */
const TAIL = 0.02425;

/** Coefficients from the highest power on. */
const centre = {
  above: [
    -3.969683028665376e1, 2.209460984245205e2, -2.759285104469687e2, 1.38357751867269e2,
    -3.066479806614716e1, 2.506628277459239,
  ],
  below: [
    -5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1,
    -1.328068155288572e1, 1,
  ],
};
const tail = {
  above: [
    -7.784894002430293e-3, -3.223964580411365e-1, -2.400758277161838, -2.549732539343734,
    4.374664141464968, 2.938163982698783,
  ],
  below: [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1],
};

/** Horner's scheme. */
function polynomial(coefficients: readonly number[], x: number): number {
  return coefficients.reduce((value, coefficient) => value * x + coefficient, 0);
}
