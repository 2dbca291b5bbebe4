/** Several measurements of one thing. */
export interface Sample {
  median: number;
  low: number;
  high: number;
}

export function sampleOf(values: readonly number[]): Sample {
  const sorted = values.toSorted((a, b) => a - b);
  return { median: quantile(sorted, 0.5), low: quantile(sorted, 0), high: quantile(sorted, 1) };
}

/** Linear between the two nearest of ascending values. */
export function quantile(sorted: readonly number[], q: number): number {
  const at = (sorted.length - 1) * q;
  const below = sorted[Math.floor(at)] ?? NaN;
  const above = sorted[Math.ceil(at)] ?? NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/**
 * Measures several sides in turns, `rounds` times each, so that a machine that becomes slower or
 * busier does so for all of them. The ratio is that of a round, as its two runs lie side by side.
 */
export async function alternate<Side extends string>(
  rounds: number,
  sides: Record<Side, () => Promise<number>>,
): Promise<Record<Side, number[]>> {
  const names = Object.keys(sides) as Side[];
  const values = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<
    Side,
    number[]
  >;
  for (let round = 0; round < rounds; round++) {
    // Whoever comes second finds warmer caches: change places.
    const order = round % 2 === 0 ? names : names.toReversed();
    for (const name of order) values[name].push(await sides[name]());
  }
  return values;
}

/** Ratios of runs of the same round. */
export function ratios(ours: readonly number[], peers: readonly number[]): number[] {
  return ours.map((value, round) => value / (peers[round] ?? NaN));
}
