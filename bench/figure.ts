import { ratios, sampleOf, type Sample } from "./sample.ts";
import type { Workspace } from "./workspace.ts";

/** One comparison, as a line of the table. */
export interface Row {
  what: string;
  unit: string;
  ours: Sample;
  /** The peer's name and its runs; a row without one is only stated. */
  peer?: { name: string; sample: Sample };
  ratio?: Sample;
  /** The least that was asked of the ratio, or the most of our value. */
  asked?: { ratioAtLeast: number } | { atMost: number };
}

export interface Figure {
  title: string;
  /** How it was measured, a sentence each. */
  notes: string[];
  rows: Row[];
}

export interface BenchContext {
  workspace: Workspace;
  /** Short runs: to see that everything works, not for figures. */
  quick: boolean;
  say: (line: string) => void;
}

export type Measure = (context: BenchContext) => Promise<Figure>;

/** The row for runs that alternated with a peer's. */
export function comparison(
  what: string,
  unit: string,
  ours: readonly number[],
  peer: { name: string; runs: readonly number[] },
  ratioAtLeast?: number,
): Row {
  return {
    what,
    unit,
    ours: sampleOf(ours),
    peer: { name: peer.name, sample: sampleOf(peer.runs) },
    ratio: sampleOf(ratios(ours, peer.runs)),
    ...(ratioAtLeast === undefined ? {} : { asked: { ratioAtLeast } }),
  };
}

/** Whether what was asked for holds; undefined when nothing was. */
export function holds({ asked, ratio, ours }: Row): boolean | undefined {
  if (asked === undefined) return undefined;
  if ("atMost" in asked) return ours.median <= asked.atMost;
  return ratio !== undefined && ratio.median >= asked.ratioAtLeast;
}
