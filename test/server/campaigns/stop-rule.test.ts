import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { StopRule } from "#protocol/api/campaign.ts";
import { finding, judge, normalQuantile, wilson, type Scope } from "#server/campaigns/stop-rule.ts";

const rule: StopRule = { max_failure_rate: 0.05, confidence: 0.95, min_sample: 20 };
const brake: Scope = { ecu_type: "brake", hardware_version: "HW-1.0" };
const lights: Scope = { ecu_type: "lights", hardware_version: "HW-2.0" };

/** `statistics.NormalDist().inv_cdf(p)` of Python 3. */
const quantiles = [
  [0.5, 0],
  [0.6, 0.2533471031357998],
  [0.75, 0.6744897501960817],
  [0.8, 0.8416212335729144],
  [0.9, 1.2815515655446008],
  [0.95, 1.6448536269514715],
  [0.97, 1.8807936081512504],
  [0.975, 1.9599639845400536],
  [0.98, 2.053748910631822],
  [0.99, 2.3263478740408408],
  [0.995, 2.5758293035489],
  [0.999, 3.090232306167813],
  [0.9999, 3.7190164854557084],
] as const;

/** Count, trials, confidence, lower, upper: Wilson's formula over the same quantiles in Python 3. */
const bounds = [
  [0, 10, 0.95, 0, 0.21294197008340682],
  [1, 10, 0.95, 0.02263490873086719, 0.3477186673358582],
  [5, 10, 0.95, 0.26927182113826736, 0.7307281788617327],
  [10, 10, 0.95, 0.7870580299165931, 1],
  [3, 3, 0.95, 0.5258044258424874, 1],
  [2, 100, 0.95, 0.006640643595012143, 0.05864836835683519],
  [20, 400, 0.99, 0.030119487772351485, 0.08189472556192758],
  [50, 1000, 0.9, 0.04188182474845841, 0.059593888551408625],
  [1, 1, 0.95, 0.26986594878405434, 1],
  [20_000, 1_000_000, 0.999, 0.019571928994489445, 0.02043723847224335],
] as const;

describe("the bounds", () => {
  it.for(quantiles)("has %d below its z", ([probability, z]) => {
    expect(normalQuantile(probability)).toBeCloseTo(z, 8);
  });

  it.for(bounds)("of %d in %d at %d", ([count, trials, confidence, lower, upper]) => {
    const found = wilson(count, trials, confidence);
    expect(found.lower).toBeCloseTo(lower, 8);
    expect(found.upper).toBeCloseTo(upper, 8);
  });

  it.for([0.49, 1, 0, -1, NaN])("refuses %d as a confidence", (confidence) => {
    expect(() => normalQuantile(confidence)).toThrow(RangeError);
  });

  it("leaves everything open without trials", () => {
    expect(wilson(0, 0, 0.95)).toEqual({ lower: 0, upper: 1 });
  });

  it("encloses the share, by less the more trials there are, and rises with the count", () => {
    fc.assert(
      fc.property(trial, ({ count, trials, confidence }) => {
        const { lower, upper } = wilson(count, trials, confidence);
        const share = count / trials;
        expect(lower).toBeGreaterThanOrEqual(0);
        expect(lower).toBeLessThanOrEqual(share + 1e-12);
        expect(upper).toBeGreaterThanOrEqual(share - 1e-12);
        expect(upper).toBeLessThanOrEqual(1);
        const more = wilson(count * 3, trials * 3, confidence);
        expect(more.lower).toBeGreaterThanOrEqual(lower - 1e-12);
        expect(more.upper).toBeLessThanOrEqual(upper + 1e-12);
        const another = wilson(Math.min(count + 1, trials), trials, confidence);
        expect(another.lower).toBeGreaterThanOrEqual(lower);
      }),
    );
  });
});

describe("the verdict", () => {
  it("stops for all vehicles before it looks at a group, and gives the figures", () => {
    const worse = { scope: brake, succeeded: 0, failed: 30 };
    const all = { scope: "whole" as const, succeeded: 70, failed: 30 };
    expect(judge(rule, [worse, all])).toEqual({
      stop: true,
      because: {
        scope: "whole",
        failed: 30,
        finished: 100,
        lower_bound: wilson(30, 100, 0.95).lower,
        threshold: 0.05,
      },
    });
  });

  it("stops for a group that fails among many that do not: for the worst of them", () => {
    const groups = [
      { scope: "whole" as const, succeeded: 9_960, failed: 40 },
      { scope: lights, succeeded: 30, failed: 10 },
      { scope: brake, succeeded: 10, failed: 30 },
    ];
    expect(judge(rule, groups)).toMatchObject({ stop: true, because: { scope: brake } });
  });

  it("never stops below the minimum sample, for whatever failed", () => {
    fc.assert(
      fc.property(anyRule, outcomes, (rule, { succeeded, failed }) => {
        fc.pre(succeeded + failed < rule.min_sample);
        expect(judge(rule, [{ scope: "whole", succeeded, failed }])).toEqual({ stop: false });
      }),
    );
  });

  it("never stops where the share stays at or below the threshold, for however many", () => {
    fc.assert(
      fc.property(anyRule, fc.integer({ min: 1, max: 10_000_000 }), (rule, finished) => {
        const failed = Math.floor(rule.max_failure_rate * finished);
        const group = { scope: "whole" as const, failed, succeeded: finished - failed };
        expect(judge(rule, [group])).toEqual({ stop: false });
      }),
    );
  });

  it("stops in the end where the share is above the threshold", () => {
    fc.assert(
      fc.property(anyRule, fc.double({ min: 0.05, max: 0.3, noNaN: true }), (rule, above) => {
        const share = rule.max_failure_rate + above * (1 - rule.max_failure_rate);
        const failed = Math.ceil(share * 1_000_000);
        const group = { scope: "whole" as const, failed, succeeded: 1_000_000 - failed };
        expect(judge(rule, [group]).stop).toBe(true);
      }),
    );
  });

  it("is the harder the more of as many have failed", () => {
    fc.assert(
      fc.property(anyRule, outcomes, fc.nat(500), (rule, { succeeded, failed }, more) => {
        const moved = Math.min(more, succeeded);
        const worse = stops(rule, succeeded - moved, failed + moved);
        expect(worse).toBeGreaterThanOrEqual(stops(rule, succeeded, failed));
      }),
    );
  });

  it("is the milder the more have succeeded beside as many failures", () => {
    fc.assert(
      fc.property(anyRule, outcomes, fc.nat(500), (rule, { succeeded, failed }, more) => {
        fc.pre(succeeded + failed >= rule.min_sample);
        const better = stops(rule, succeeded + more, failed);
        expect(better).toBeLessThanOrEqual(stops(rule, succeeded, failed));
      }),
    );
  });

  it("tells of a group what the rule sees in it, before it is enough", () => {
    expect(finding(rule, { scope: brake, succeeded: 1, failed: 1 })).toEqual({
      scope: brake,
      failed: 1,
      finished: 2,
      lower_bound: wilson(1, 2, 0.95).lower,
      threshold: 0.05,
    });
  });
});

/** 1 when it stops. */
function stops(rule: StopRule, succeeded: number, failed: number): number {
  return Number(judge(rule, [{ scope: "whole", succeeded, failed }]).stop);
}

const confidence = fc.double({ min: 0.5, max: 0.9999, noNaN: true });
const trial = fc
  .record({
    trials: fc.integer({ min: 1, max: 1_000_000 }),
    confidence,
    part: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .map(({ trials, confidence, part }) => ({
    count: Math.floor(trials * part),
    trials,
    confidence,
  }));
const outcomes = fc.record({ succeeded: fc.nat(2000), failed: fc.nat(2000) });
const anyRule = fc.record({
  max_failure_rate: fc.double({ min: 0, max: 0.99, noNaN: true }),
  confidence,
  min_sample: fc.integer({ min: 1, max: 3000 }),
});
