import * as fc from "fast-check";
import { compare, compareBuild, gt, gte } from "semver";
import { describe, expect, it } from "vitest";
import { explainRelease } from "#server/firmware/explanation.ts";
import { plan, type Plan, type PlannedEcu } from "#server/firmware/planner.ts";
import type { Release } from "#server/firmware/release.ts";
import {
  afterMove,
  bundlesTo,
  greatestMove,
  isConsistent,
  mayHave,
  reachable,
  type Move,
  type Puzzle,
  type State,
} from "./planner-oracle.ts";

const types = ["brake", "lights", "radio"] as const;
const type = fc.constantFrom(...types);
const version = fc.constantFrom("1.0.0", "2.0.0", "3.0.0-rc.1", "3.0.0", "3.0.0+b", "4.0.0");
const hardware = fc.constantFrom("HW-1", "HW-1", "HW-1", "HW-2");

/** As the catalogue has them: nothing requires its own type, nor one type twice. */
const anyRelease = fc
  .record({
    ecu_type: type,
    version,
    hardware_versions: fc.constantFrom(["HW-1"], ["HW-1", "HW-2"], ["HW-2"]),
    channel: fc.constantFrom("stable" as const, "stable" as const, "beta" as const),
    min_current_version: fc.option(version, { freq: 2 }),
    requires: fc.uniqueArray(
      fc.record({
        ecu_type: fc.constantFrom(...types, ...types, "absent"),
        min_version: version,
      }),
      { maxLength: 2, selector: ({ ecu_type }) => ecu_type },
    ),
    availability: fc.constantFrom("channel" as const, "channel" as const, "campaign" as const),
    critical: fc.constant(false),
    size: fc.constant(1),
  })
  .map((each): Release => {
    const { ecu_type, version: of, min_current_version: min } = each;
    return {
      ...each,
      firmware_id: `${ecu_type} ${of}`,
      min_current_version: min !== null && gt(of, min) ? min : null,
      requires: each.requires.filter((requirement) => requirement.ecu_type !== ecu_type),
    };
  });

const ofType = (ecu_type: string) =>
  fc.uniqueArray(
    anyRelease.map((each) => ({
      ...each,
      ecu_type,
      firmware_id: `${ecu_type} ${each.version}`,
      requires: each.requires.filter((requirement) => requirement.ecu_type !== ecu_type),
    })),
    { maxLength: 4, selector: ({ firmware_id }) => firmware_id },
  );

const ecus = fc
  .array(
    fc.record({
      ecu_type: type,
      hardware_version: hardware,
      software_version: fc.constantFrom("1.0.0", "1.0.0", "2.0.0", "2.5.0", "3.0.0"),
    }),
    { minLength: 1, maxLength: 4 },
  )
  .map((each) => each.map((ecu, index) => ({ ...ecu, ecu_id: `ECU_${index}`, zone_id: "ZG" })));

const general: fc.Arbitrary<Puzzle> = fc.record({
  ecus,
  catalogue: fc.tuple(...types.map(ofType)).map((each) => each.flat()),
  channel: fc.constantFrom("stable" as const, "beta" as const),
});

const towards: fc.Arbitrary<Puzzle & { only: ReadonlySet<string> }> = general.chain((puzzle) =>
  fc
    .subarray(puzzle.catalogue.map(({ firmware_id }) => firmware_id))
    .map((ids) => ({ ...puzzle, only: new Set(ids) })),
);

const either: fc.Arbitrary<Puzzle> = fc.oneof(general, towards);

const planned = ({ ecus: inventory, catalogue, channel, only }: Puzzle): Plan =>
  plan(inventory, catalogue, channel, { only });

function bundlesOf({ outdated, later }: Plan): PlannedEcu[][] {
  return outdated.length === 0 ? [] : [outdated, ...later];
}

function moveOf(puzzle: Puzzle, bundle: readonly PlannedEcu[]): Move {
  return puzzle.ecus.map(({ ecu_id }) => bundle.find(({ ecu }) => ecu.ecu_id === ecu_id)?.release);
}

const startOf = (puzzle: Puzzle): State => puzzle.ecus.map((ecu) => ecu.software_version);

function endOf(puzzle: Puzzle, bundles: readonly PlannedEcu[][]): State {
  return bundles.reduce(
    (state, bundle) => afterMove(state, moveOf(puzzle, bundle)),
    startOf(puzzle),
  );
}

function at(puzzle: Puzzle, state: State): Puzzle {
  const moved = puzzle.ecus.map((ecu, index) => ({
    ...ecu,
    software_version: state[index] ?? ecu.software_version,
  }));
  return { ...puzzle, ecus: moved };
}

describe("a plan beside every sequence of bundles there is", () => {
  it("begins with the greatest bundle, and ends as far as anything leads, by the fewest", () => {
    fc.assert(
      fc.property(general, (puzzle) => {
        const bundles = bundlesOf(planned(puzzle));
        expect(moveOf(puzzle, bundles[0] ?? [])).toEqual(greatestMove(puzzle, startOf(puzzle)));
        const end = endOf(puzzle, bundles);
        const states = [...reachable(puzzle).values()];
        for (const { state } of states) {
          for (const [index, each] of state.entries())
            expect(gte(end[index] ?? "", each)).toBe(true);
        }
        const furthest = states.filter(({ state }) =>
          state.every((each, index) => compare(each, end[index] ?? "") === 0),
        );
        expect(Math.min(...furthest.map(({ bundles: fewest }) => fewest))).toBe(bundles.length);
      }),
      { numRuns: 150 },
    );
  });

  it("brings each ECU to the newest that it can have of what it is for, by the fewest", () => {
    fc.assert(
      fc.property(towards, (puzzle) => {
        const bundles = bundlesOf(planned(puzzle));
        const goals = new Map<number, Release>();
        for (const [index, ecu] of puzzle.ecus.entries()) {
          const goal = puzzle.catalogue
            .filter(
              (release) =>
                puzzle.only.has(release.firmware_id) &&
                mayHave(puzzle, ecu, release) &&
                gt(release.version, ecu.software_version),
            )
            .sort((a, b) => compareBuild(b.version, a.version))
            .find((release) => bundlesTo(puzzle, new Map([[index, release]])) !== undefined);
          if (goal) goals.set(index, goal);
        }
        const fewest = bundlesTo(puzzle, goals);
        // What can't be had together is no more than consistent.
        if (fewest === undefined) return;
        expect(bundles).toHaveLength(fewest);
        for (const [index, goal] of goals) {
          expect(bundles.map((bundle) => moveOf(puzzle, bundle)[index])).toContain(goal);
        }
      }),
      { numRuns: 150 },
    );
  });
});

describe("a plan, whatever the vehicle", () => {
  it("is consistent after each bundle", () => {
    fc.assert(
      fc.property(either, (puzzle) => {
        let state = startOf(puzzle);
        for (const bundle of bundlesOf(planned(puzzle))) {
          const move = moveOf(puzzle, bundle);
          expect(bundle.map(({ ecu }) => ecu.software_version)).toEqual(
            bundle.map(({ ecu }) => state[puzzle.ecus.findIndex((e) => e.ecu_id === ecu.ecu_id)]),
          );
          expect(move.some(Boolean) && isConsistent(puzzle, state, move)).toBe(true);
          state = afterMove(state, move);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("installs nothing beside what it is for that could be left out", () => {
    fc.assert(
      fc.property(towards, (puzzle) => {
        const moves = bundlesOf(planned(puzzle)).map((bundle) => moveOf(puzzle, bundle));
        for (const [place, move] of moves.entries()) {
          for (const [index, release] of move.entries()) {
            if (release === undefined || puzzle.only.has(release.firmware_id)) continue;
            let state = startOf(puzzle);
            const isStillConsistent = moves.every((each, other) => {
              const without = other === place ? each.with(index, undefined) : each;
              const isPossible = isConsistent(puzzle, state, without);
              state = afterMove(state, without);
              return isPossible;
            });
            expect(isStillConsistent).toBe(false);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it("is the rest of itself once its first bundle is installed, and nothing when it is done", () => {
    fc.assert(
      fc.property(either, (puzzle) => {
        const [first, ...rest] = bundlesOf(planned(puzzle));
        if (first === undefined) return;
        const next = at(puzzle, afterMove(startOf(puzzle), moveOf(puzzle, first)));
        expect(bundlesOf(planned(next)).map((bundle) => moveOf(next, bundle))).toEqual(
          rest.map((bundle) => moveOf(puzzle, bundle)),
        );
      }),
      { numRuns: 500 },
    );
  });

  it("has a reason for every ECU that does not come to the newest, and for no other", () => {
    const stages = ["NO_FIRMWARE_FOR_HARDWARE", "CHANNEL_NOT_ALLOWED", "CAMPAIGN_ONLY"];
    fc.assert(
      fc.property(either, (puzzle) => {
        const result = planned(puzzle);
        const { only, catalogue } = puzzle;
        const end = endOf(puzzle, bundlesOf(result));
        for (const [index, ecu] of puzzle.ecus.entries()) {
          const missed = catalogue.filter(
            ({ ecu_type, version: newer, firmware_id }) =>
              ecu_type === ecu.ecu_type &&
              gt(newer, end[index] ?? "") &&
              (only?.has(firmware_id) ?? true),
          );
          const isBlocked = end[index] === ecu.software_version;
          const notes = isBlocked ? result.blocked : result.held;
          const all = [...result.blocked, ...result.held];
          const found = all.filter((each) => each.ecu.ecu_id === ecu.ecu_id);
          const isUnknown =
            only === undefined && catalogue.every(({ ecu_type }) => ecu_type !== ecu.ecu_type);
          expect(found).toHaveLength(missed.length > 0 || isUnknown ? 1 : 0);
          expect(notes).toEqual(expect.arrayContaining(found));
          if (missed.length === 0) continue;
          const stage = Math.max(
            ...missed.map((release) => {
              if (!release.hardware_versions.includes(ecu.hardware_version)) return 0;
              if (puzzle.channel === "stable" && release.channel === "beta") return 1;
              return mayHave(puzzle, ecu, release) ? 3 : 2;
            }),
          );
          expect(found[0]?.reason).toMatch(
            stages[stage] ?? /^(STEP_MISSING|REQUIREMENT_(UNMET|ABSENT))$/,
          );
        }
      }),
      { numRuns: 500 },
    );
  });

  it("does not depend on the order of inventory and catalogue", () => {
    const shuffled = either.chain((puzzle) =>
      fc.record({
        puzzle: fc.constant(puzzle),
        ecus: fc.shuffledSubarray([...puzzle.ecus], { minLength: puzzle.ecus.length }),
        catalogue: fc.shuffledSubarray([...puzzle.catalogue], {
          minLength: puzzle.catalogue.length,
        }),
      }),
    );
    fc.assert(
      fc.property(shuffled, ({ puzzle, ...other }) => {
        expect(planned({ ...puzzle, ...other })).toEqual(planned(puzzle));
      }),
      { numRuns: 300 },
    );
  });

  it("is what an explanation of any release says", () => {
    fc.assert(
      fc.property(either, (puzzle) => {
        const bundles = bundlesOf(planned(puzzle));
        const { ecus: inventory, catalogue, channel, only } = puzzle;
        for (const release of catalogue) {
          const id = release.firmware_id;
          const explained = explainRelease(inventory, catalogue, channel, id, { only });
          for (const { ecu, ...verdict } of explained?.ecus ?? []) {
            const place = bundles.findIndex((bundle) =>
              bundle.some((each) => each.ecu.ecu_id === ecu.ecu_id && each.release === release),
            );
            const reasons = verdict.offer === "none" ? verdict.reasons : undefined;
            expect(verdict).toEqual(
              place === 0
                ? { offer: "now" }
                : place > 0
                  ? { offer: "later", after_bundles: place }
                  : ecu.software_version === release.version
                    ? { offer: "installed" }
                    : gt(ecu.software_version, release.version)
                      ? { offer: "newer_installed" }
                      : { offer: "none", reasons },
            );
            expect(reasons).not.toEqual([]);
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});
