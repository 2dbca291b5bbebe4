import type { UdsLink } from "#vmg-sim/vmg/uds-link.ts";
import type { Row } from "./figure.ts";
import { quantile, sampleOf } from "./sample.ts";

/** ReadDataByIdentifier of the VIN. */
export const READ_VIN = Uint8Array.of(0x22, 0xf1, 0x90);

/** One ask and its answer, in milliseconds. */
export type Ask = () => Promise<number>;

/** Who is asked, and what is done before and after each round. */
export interface Side {
  ask: Ask;
  begin?: () => Promise<unknown>;
  end?: () => Promise<unknown>;
}

/** Of each round. */
export interface RoundTrips {
  p50: number[];
  p99: number[];
}

/** An ask of one ECU by DoIP. @throws what the link throws, and Error for a negative response */
export function askByDoip(link: UdsLink, target: number, request: Uint8Array): Ask {
  return async () => {
    const began = performance.now();
    const answer = await link.request(target, request);
    if (answer[0] !== (request[0] ?? 0) + 0x40) throw new Error("the ECU refused");
    return performance.now() - began;
  };
}

/**
 * Asks by both sides in turns, `count` times one after the other in each round. The first round finds
 * cold code and counts for nothing.
 */
export async function roundTrips<Name extends string>(
  { rounds, count, say }: { rounds: number; count: number; say: (line: string) => void },
  sides: Record<Name, Side>,
): Promise<Record<Name, RoundTrips>> {
  const names = Object.keys(sides) as Name[];
  const newTimes = (): RoundTrips => ({ p50: [], p99: [] });
  const times = Object.fromEntries(names.map((name) => [name, newTimes()])) as Record<
    Name,
    RoundTrips
  >;
  for (let round = -1; round < rounds; round++) {
    for (const name of names) {
      const { ask, begin, end } = sides[name];
      await begin?.();
      const { p50, p99 } = await askOften(ask, count);
      await end?.();
      say(`  ${name}: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`);
      if (round < 0) continue;
      times[name].p50.push(p50);
      times[name].p99.push(p99);
    }
  }
  return times;
}

/** Two rows that only state the times of both sides. */
export function roundTripRows(
  what: string,
  ours: RoundTrips,
  peer: { name: string; times: RoundTrips },
): Row[] {
  return (["p50", "p99"] as const).map((quantile) => ({
    what: `${what}, ${quantile}`,
    unit: "ms",
    ours: sampleOf(ours[quantile]),
    peer: { name: peer.name, sample: sampleOf(peer.times[quantile]) },
  }));
}

async function askOften(ask: Ask, count: number): Promise<{ p50: number; p99: number }> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) times.push(await ask());
  const sorted = times.toSorted((a, b) => a - b);
  return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) };
}
