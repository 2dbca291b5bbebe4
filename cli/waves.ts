import { InvalidArgumentError } from "commander";
import type { Wave } from "#protocol/api/campaign.ts";

export type WaveGate = NonNullable<Wave["gate"]>;

const SHARE = /^\s*\d{1,3}(\.\d{1,6})?\s*$/;

/** Percentages of a campaign's vehicles, which make 100: `5,20,75`. @throws InvalidArgumentError */
export function shares(text: string): number[] {
  const list = text.split(",").map((each) => (SHARE.test(each) ? Number(each) : Number.NaN));
  const sum = list.reduce((total, each) => total + each, 0);
  if (list.some((each) => !(each > 0))) {
    throw new InvalidArgumentError("It is the percentage of each wave: 5,20,75.");
  }
  if (Math.abs(sum - 100) > 1e-6) {
    throw new InvalidArgumentError(`The waves make ${Number(sum.toFixed(6))}, not 100.`);
  }
  return list;
}

/** As the API takes them. @param gate of each but the first, which opens with the campaign */
export function wavesOf(list: readonly number[], gate: WaveGate): Wave[] {
  return list.map((share, at) => (at === 0 ? { share } : { share, gate }));
}

/** Ten equal ones, where only the time between them is said. */
export const staggered: readonly number[] = Array.from({ length: 10 }, () => 10);
