import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createAnomalyDetector } from "#server/telemetry/anomaly.ts";

const config = {
  batch_size: 100,
  limits: { speed: { min: 0, max: 250 }, battery_soc: { min: 5 }, temp: { max: 110 } },
  deviation: { window: 16, min_samples: 8, threshold: 5 },
};
const at = new Date("2026-05-04T10:00:00Z");

/** Feeds values of one signal; returns the rules that each of them broke. */
function feed(values: number[], signal = "rpm", detector = createAnomalyDetector(config)) {
  return values.map((value) =>
    detector.inspect("VMG-001", at, { [signal]: value }).map(({ rule }) => rule),
  );
}

/** Values that move a little: 98 to 102. */
const calm = (count: number) => Array.from({ length: count }, (_, i) => 98 + ((i * 7) % 5));

describe("limits", () => {
  it("report what is outside, not what is on the limit", () => {
    expect(feed([0, 250], "speed").flat()).toEqual([]);
    expect(feed([-0.1], "speed")).toEqual([["limit"]]);
    expect(feed([250.1], "speed")).toEqual([["limit"]]);
    expect(feed([4.9, 1e9], "battery_soc")).toEqual([["limit"], []]);
  });

  it("report when it begins, not for as long as it lasts, and again when it comes back", () => {
    expect(feed([300, 301, 300, 100, 300], "speed")).toEqual([["limit"], [], [], [], ["limit"]]);
  });

  it("say who, when, what and why", () => {
    const [anomaly] = createAnomalyDetector(config).inspect("VMG-007", at, { speed: 300 });
    expect(anomaly).toEqual({
      vin: "VMG-007",
      ts: at,
      signal: "speed",
      value: 300,
      rule: "limit",
      detail: "above 250",
    });
  });

  it("hold for nobody else's signal, and not for names of an object's own", () => {
    expect(feed([1e9], "constructor").flat()).toEqual([]);
    expect(feed([1e9], "__proto__").flat()).toEqual([]);
  });

  it("look at numbers only", () => {
    const detector = createAnomalyDetector(config);
    expect(detector.inspect("V", at, { speed: "300", temp: true })).toEqual([]);
  });
});

describe("deviation", () => {
  it("gives no verdict before there are enough samples", () => {
    expect(feed([...calm(7), 1000]).flat()).toEqual([]);
    expect(feed([...calm(8), 1000]).at(-1)).toEqual(["deviation"]);
  });

  it("reports a jump up or down, once", () => {
    expect(feed([...calm(12), 500, 501]).slice(-2)).toEqual([["deviation"], []]);
    expect(feed([...calm(12), -500]).at(-1)).toEqual(["deviation"]);
  });

  it("leaves normal movement alone", () => {
    expect(feed([...calm(60), 104, 96]).flat()).toEqual([]);
  });

  it("has nothing to compare with while a signal has never moved", () => {
    expect(feed([...Array.from({ length: 20 }, () => 5), 6]).flat()).toEqual([]);
  });

  it("follows a level that stays: after a window the new one is the normal one", () => {
    const high = calm(40).map((value) => value + 400);
    const found = feed([...calm(16), ...high, 100]);
    expect(found.flat()).toEqual(["deviation", "deviation"]);
    expect(found.at(-1)).toEqual(["deviation"]);
  });

  it("is not fooled by a single outlier in the window: the median does not move", () => {
    expect(feed([...calm(8), 1e6, ...calm(6), 1e6]).at(-1)).toEqual(["deviation"]);
  });

  it("keeps vehicles and signals apart", () => {
    const detector = createAnomalyDetector(config);
    for (const value of calm(16)) {
      detector.inspect("VMG-001", at, { rpm: value, load: value * 10 });
    }
    expect(detector.inspect("VMG-002", at, { rpm: 1000 })).toEqual([]);
    expect(detector.inspect("VMG-001", at, { load: 1000 })).toEqual([]);
    expect(detector.inspect("VMG-001", at, { rpm: 1000 })).toHaveLength(1);
  });

  it("survives the largest numbers", () => {
    const wild = calm(16).map((value, i) => (i % 2 === 0 ? value : Number.MAX_VALUE));
    expect(() => feed([...wild, -Number.MAX_VALUE, 0])).not.toThrow();
  });
});

describe("the running median", () => {
  /** The rule as it is written down: median and MAD of the window, looked at every eight values. */
  function byTheBook(values: number[]): boolean[] {
    const { window, min_samples, threshold } = config.deviation;
    const medianOf = (list: number[]) => {
      const sorted = list.toSorted((a, b) => a - b);
      const [low = 0, high = 0] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
      return sorted.length % 2 === 1 ? high : (low + high) / 2;
    };
    let [median, sigma, lookedAt, wasOutside] = [0, 0, 0, false];
    return values.map((value, seen) => {
      if (seen >= min_samples && (lookedAt === 0 || seen - lookedAt >= 8)) {
        const recent = values.slice(Math.max(0, seen - window), seen);
        median = medianOf(recent);
        sigma = 1.4826 * medianOf(recent.map((each) => Math.abs(each - median)));
        lookedAt = seen;
      }
      const distance = seen < min_samples || sigma === 0 ? 0 : Math.abs(value - median) / sigma;
      const isOutside = distance > threshold;
      const begins = isOutside && !wasOutside;
      wasOutside = isOutside;
      return begins;
    });
  }

  it("agrees with one that is computed anew each time", () => {
    const value = fc.oneof(
      fc.integer({ min: -5, max: 5 }),
      fc.constantFrom(0, -0, 1000, -1000),
      fc.double({ min: -1e6, max: 1e6, noNaN: true }),
    );
    fc.assert(
      fc.property(fc.array(value, { maxLength: 80 }), (values) => {
        const found = feed(values).map((rules) => rules.includes("deviation"));
        expect(found).toEqual(byTheBook(values));
      }),
      { numRuns: 500 },
    );
  });
});

describe("memory", () => {
  it("is not filled by one vehicle that makes up signals, nor are others forgotten for it", () => {
    const detector = createAnomalyDetector(config);
    for (const value of calm(16)) detector.inspect("VMG-001", at, { rpm: value });
    for (let round = 0; round < 2500; round++) {
      const made = Array.from({ length: 63 }, (_, i) => [`s${round}-${i}`, 1] as const);
      detector.inspect("VMG-666", at, Object.fromEntries(made));
    }
    expect(detector.inspect("VMG-001", at, { rpm: 1000 })).toHaveLength(1);
  });
});
