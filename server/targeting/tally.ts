/** Vehicles say themselves what model they are: there may be as many as there are vehicles. */
const KEPT = 10_000;
const SHOWN = 100;

/** Counts by value, of as many values as memory has room for. */
export function createTally() {
  const counts = new Map<string | null, number>();
  return {
    add(value: string | null, count: number): void {
      const before = counts.get(value);
      if (before !== undefined || counts.size < KEPT) counts.set(value, (before ?? 0) + count);
    },
    /** The largest first. */
    largest(): { value: string | null; count: number }[] {
      return [...counts]
        .map(([value, count]) => ({ value, count }))
        .sort((a, b) => b.count - a.count || ((a.value ?? "") < (b.value ?? "") ? -1 : 1))
        .slice(0, SHOWN);
    },
  };
}
