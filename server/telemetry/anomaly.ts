import type { ServerConfig } from "#config/server.ts";

/** A value that stands out. */
export interface Anomaly {
  vin: string;
  ts: Date;
  signal: string;
  value: number;
  rule: "limit" | "deviation";
  detail: string;
}

export interface AnomalyDetector {
  /** Looks at one sample; an anomaly is reported when it begins, not for as long as it lasts. */
  inspect(vin: string, ts: Date, signals: Readonly<Record<string, unknown>>): Anomaly[];
}

/** Signals of all vehicles that are remembered; the vehicles heard of longest ago go first. */
const MAX_SIGNALS = 100_000;
/** A vehicle that makes up signals forgets its own, not those of others. */
const MAX_SIGNALS_PER_VEHICLE = 256;
/** New values between two looks at the spread: it moves slowly. */
const REFRESH_EVERY = 8;
/** Makes the median absolute deviation of normally distributed values their standard deviation. */
const MAD_TO_SIGMA = 1.4826;

interface SignalHistory {
  /** The most recent values as they came, round and round. */
  values: Float64Array;
  /** The same values in ascending order. */
  sorted: Float64Array;
  /** Values seen so far; the newest stands at `(count - 1) % window`. */
  count: number;
  median: number;
  sigma: number;
  refreshedAt: number;
  outsideLimit: boolean;
  outsideSpread: boolean;
}

/**
 * Two rules, both on the vehicle's own numbers: fixed limits from the configuration, and the
 * distance from the median of its recent values in robust standard deviations. A signal that has
 * not moved at all has no spread to compare with, so only the limits hold for it.
 */
export function createAnomalyDetector(config: ServerConfig["telemetry"]): AnomalyDetector {
  const vehicles = new Map<string, Map<string, SignalHistory>>();
  let remembered = 0;

  function signalsOf(vin: string): Map<string, SignalHistory> {
    const signals = vehicles.get(vin) ?? new Map<string, SignalHistory>();
    // Last in the map is heard of last.
    vehicles.delete(vin);
    vehicles.set(vin, signals);
    return signals;
  }

  function addHistory(vin: string, signals: Map<string, SignalHistory>, signal: string) {
    const history = newHistory(config.deviation.window);
    signals.set(signal, history);
    remembered++;
    const [oldest] = signals.keys();
    if (signals.size > MAX_SIGNALS_PER_VEHICLE && oldest !== undefined) {
      signals.delete(oldest);
      remembered--;
    }
    forgetOldest(vin);
    return history;
  }

  function forgetOldest(current: string): void {
    for (const [vin, signals] of vehicles) {
      if (remembered <= MAX_SIGNALS || vin === current) return;
      vehicles.delete(vin);
      remembered -= signals.size;
    }
  }

  return {
    inspect(vin, ts, signals) {
      const found: Anomaly[] = [];
      const histories = signalsOf(vin);
      for (const [signal, value] of Object.entries(signals)) {
        if (typeof value !== "number") continue;
        const history = histories.get(signal) ?? addHistory(vin, histories, signal);
        for (const verdict of judge(history, value, config, signal)) {
          found.push({ vin, ts, signal, value, ...verdict });
        }
        remember(history, value);
      }
      return found;
    },
  };
}

type Verdict = Pick<Anomaly, "rule" | "detail">;

function judge(
  history: SignalHistory,
  value: number,
  { limits, deviation }: ServerConfig["telemetry"],
  signal: string,
): Verdict[] {
  const verdicts: Verdict[] = [];
  const limit = Object.hasOwn(limits, signal) ? limits[signal] : undefined;
  const { min = -Infinity, max = Infinity } = limit ?? {};
  const outsideLimit = value < min || value > max;
  if (outsideLimit && !history.outsideLimit) {
    verdicts.push({ rule: "limit", detail: value < min ? `below ${min}` : `above ${max}` });
  }
  history.outsideLimit = outsideLimit;

  const distance = distanceFromMedian(history, value, deviation.min_samples);
  const outsideSpread = distance > deviation.threshold;
  if (outsideSpread && !history.outsideSpread) {
    const detail = `${distance.toFixed(1)} robust standard deviations from the median ${history.median}`;
    verdicts.push({ rule: "deviation", detail });
  }
  history.outsideSpread = outsideSpread;
  return verdicts;
}

/** 0 while there is too little to compare with. */
function distanceFromMedian(history: SignalHistory, value: number, minSamples: number): number {
  if (history.count < minSamples) return 0;
  if (history.refreshedAt === 0 || history.count - history.refreshedAt >= REFRESH_EVERY)
    refresh(history);
  return history.sigma === 0 ? 0 : Math.abs(value - history.median) / history.sigma;
}

function refresh(history: SignalHistory): void {
  const sorted = history.sorted.subarray(0, history.count);
  history.median = middleOf(sorted);
  history.sigma = MAD_TO_SIGMA * middleDistance(history.median, sorted);
  history.refreshedAt = history.count;
}

/**
 * The median of the distances of ascending values from their own median: the nearest first, from
 * both sides of it in turns, up to the middle one.
 */
function middleDistance(median: number, sorted: Float64Array): number {
  const middle = sorted.length >> 1;
  let above = middle;
  let below = middle - 1;
  let before = 0;
  let distance = 0;
  for (let i = 0; i <= middle; i++) {
    before = distance;
    const down = median - (sorted[below] ?? -Infinity);
    const up = (sorted[above] ?? Infinity) - median;
    distance = Math.min(down, up);
    if (down <= up) below--;
    else above++;
  }
  return sorted.length % 2 === 1 ? distance : (before + distance) / 2;
}

function middleOf(sorted: Float64Array): number {
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}

/** Puts a value in the place of the oldest, and moves it to where it belongs in the order. */
function remember(history: SignalHistory, value: number): void {
  const { values, sorted, count } = history;
  const slot = count % values.length;
  let at = count < values.length ? count : sorted.indexOf(values[slot] ?? 0);
  const last = Math.min(count, values.length - 1);
  for (; at > 0 && (sorted[at - 1] ?? 0) > value; at--) sorted[at] = sorted[at - 1] ?? 0;
  for (; at < last && (sorted[at + 1] ?? 0) < value; at++) sorted[at] = sorted[at + 1] ?? 0;
  sorted[at] = value;
  values[slot] = value;
  history.count++;
}

function newHistory(window: number): SignalHistory {
  return {
    values: new Float64Array(window),
    sorted: new Float64Array(window),
    count: 0,
    median: 0,
    sigma: 0,
    refreshedAt: 0,
    outsideLimit: false,
    outsideSpread: false,
  };
}
