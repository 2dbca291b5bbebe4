import { compare, compareBuild, gt, gte } from "semver";
import type { Release } from "#server/firmware/release.ts";
import type { InventoryEcu } from "#server/vehicles/inventory.ts";

/** A small vehicle with all that may ever be installed on it. */
export interface Puzzle {
  ecus: readonly InventoryEcu[];
  catalogue: readonly Release[];
  channel: "stable" | "beta";
  only?: ReadonlySet<string> | undefined;
}

/** The version of each ECU. */
export type State = readonly string[];
/** What is installed on each ECU; undefined where nothing is. */
export type Move = readonly (Release | undefined)[];

export function mayHave({ channel, only }: Puzzle, ecu: InventoryEcu, release: Release): boolean {
  return (
    release.ecu_type === ecu.ecu_type &&
    release.hardware_versions.includes(ecu.hardware_version) &&
    (channel === "beta" || release.channel === "stable") &&
    (release.availability === "channel" || (only?.has(release.firmware_id) ?? false))
  );
}

/** Is this a bundle that may be installed in this state? */
export function isConsistent(puzzle: Puzzle, state: State, move: Move): boolean {
  const after = afterMove(state, move);
  return puzzle.ecus.every((ecu, index) => {
    const release = move[index];
    if (release === undefined) return true;
    const at = state[index] ?? "";
    const min = release.min_current_version;
    return (
      mayHave(puzzle, ecu, release) &&
      gt(release.version, at) &&
      (min === null || gte(at, min)) &&
      release.requires.every(({ ecu_type, min_version }) => {
        const required = puzzle.ecus.flatMap((other, place) =>
          other.ecu_type === ecu_type ? [after[place] ?? ""] : [],
        );
        return required.length > 0 && required.every((version) => gte(version, min_version));
      })
    );
  });
}

export function afterMove(state: State, move: Move): State {
  return state.map((version, index) => move[index]?.version ?? version);
}

/** Every consistent bundle, the empty one included. */
function movesFrom(puzzle: Puzzle, state: State): Move[] {
  let moves: Move[] = [[]];
  for (const [index, ecu] of puzzle.ecus.entries()) {
    const steps = puzzle.catalogue.filter(
      (release) => mayHave(puzzle, ecu, release) && gt(release.version, state[index] ?? ""),
    );
    moves = moves.flatMap((move) => [undefined, ...steps].map((step) => [...move, step]));
  }
  return moves.filter((move) => isConsistent(puzzle, state, move));
}

/** The one that brings every ECU at least as far as any other. */
export function greatestMove(puzzle: Puzzle, state: State): Move | undefined {
  const moves = movesFrom(puzzle, state);
  const ahead = (a: Release | undefined, b: Release | undefined) =>
    b === undefined || (a !== undefined && compareBuild(a.version, b.version) >= 0);
  return moves.find((move) =>
    moves.every((other) => other.every((release, index) => ahead(move[index], release))),
  );
}

/** Every state that can be come to, with the fewest bundles to it. */
export function reachable(puzzle: Puzzle): Map<string, { state: State; bundles: number }> {
  return explore(puzzle, () => true);
}

/**
 * Of the sequences in which each of these is installed at some time, the fewest bundles.
 * @param goals by the place of the ECU
 * @returns undefined when there is no such sequence
 */
export function bundlesTo(puzzle: Puzzle, goals: ReadonlyMap<number, Release>): number | undefined {
  const isOnTheWay = (state: State, move: Move) =>
    [...goals].every(
      ([index, goal]) =>
        // Once it is there or past it, it was there: from below, nothing leads past it.
        move[index] === undefined ||
        move[index] === goal ||
        compare(state[index] ?? "", goal.version) >= 0 ||
        compare(move[index].version, goal.version) < 0,
    );
  const found = explore(puzzle, isOnTheWay);
  const there = [...found.values()].filter(({ state }) =>
    [...goals].every(([index, goal]) => gte(state[index] ?? "", goal.version)),
  );
  return there.length === 0 ? undefined : Math.min(...there.map(({ bundles }) => bundles));
}

function explore(puzzle: Puzzle, isAllowed: (state: State, move: Move) => boolean) {
  const start = puzzle.ecus.map(({ software_version }) => software_version);
  const found = new Map([[start.join(" "), { state: start as State, bundles: 0 }]]);
  for (const { state, bundles } of found.values()) {
    for (const move of movesFrom(puzzle, state)) {
      const next = afterMove(state, move);
      const key = next.join(" ");
      if (found.has(key) || !isAllowed(state, move)) continue;
      found.set(key, { state: next, bundles: bundles + 1 });
    }
  }
  return found;
}
