import type { Statistic } from "#protocol/api/history.ts";

/** So many updates, or ECUs, that came to this and took so long. */
export interface Counted {
  key: string | null;
  status: string;
  /** How long a success took, as {@link BUCKET_BASE} counts; -1 where nothing took its time. */
  bucket: number;
  count: number;
}

/** Ends that say something of the software: what was never begun says nothing. */
const outcomes = ["success", "failed", "rolled_back"] as const;
const others = ["cancelled", "expired"] as const;

/** Sums what was counted up by what it is of; in the order in which it first comes. */
export function summarize(counted: readonly Counted[]): Statistic[] {
  const byKey = Map.groupBy(counted, ({ key }) => key);
  return [...byKey].map(([key, rows]) => {
    const countOf = (status: string) =>
      rows.reduce((sum, row) => sum + (row.status === status ? row.count : 0), 0);
    const [success, failed, rolled_back] = outcomes.map(countOf) as [number, number, number];
    const [cancelled, expired] = others.map(countOf) as [number, number];
    const ended = success + failed + rolled_back;
    const rate = (count: number) => (ended === 0 ? null : count / ended);
    return {
      key,
      total: ended + cancelled + expired,
      ...{ success, failed, rolled_back, cancelled, expired },
      success_rate: rate(success),
      failure_rate: rate(failed + rolled_back),
      duration_s: durations(rows.filter(({ status }) => status === "success")),
    };
  });
}

/** The base of the logarithm that durations are counted by: a bucket is right to a tenth. */
export const BUCKET_BASE = 1.2;

/** What a bucket stands for, in seconds. */
function durationOf(bucket: number): number {
  return Number((BUCKET_BASE ** bucket).toPrecision(3));
}

function durations(rows: readonly Counted[]): Statistic["duration_s"] {
  const timed = rows.filter(({ bucket }) => bucket >= 0).toSorted((a, b) => a.bucket - b.bucket);
  const total = timed.reduce((sum, { count }) => sum + count, 0);
  const quantile = (share: number) => {
    let seen = 0;
    const row = timed.find(({ count }) => (seen += count) >= share * total);
    return row && durationOf(row.bucket);
  };
  const [p50, p95] = [quantile(0.5), quantile(0.95)];
  return p50 === undefined || p95 === undefined ? null : { p50, p95 };
}
