import type { SemVer } from "semver";
import type { Slot, Slots } from "./slot.ts";
import { isBelow, type Step } from "./step.ts";

/** What is installed together, by the index of the slot. */
export type Bundle = ReadonlyMap<number, Step>;

/** What an ECU is to be brought to before anything newer, by the index of the slot. */
export type Goals = ReadonlyMap<number, Step>;

/** Bundles one after the other, each issued when a VCI has confirmed the one before. */
export interface Course {
  goals: Goals;
  bundles: readonly Bundle[];
  /** What each ECU runs before the first bundle and after each of them. */
  states: readonly (readonly SemVer[])[];
  /** What each ECU runs in the end. */
  end: readonly SemVer[];
}

/**
 * Takes the greatest bundle for as long as there is one. Minimum versions and requirements are lower
 * bounds all of them, so whatever can be installed from some state can be installed, or is there
 * already, from every higher one: no other sequence brings any ECU further, or there earlier.
 */
export function courseOf(slots: Slots, goals: Goals = new Map()): Course {
  let end: readonly SemVer[] = slots.all.map(({ installed }) => installed);
  const bundles: Bundle[] = [];
  const states = [end];
  for (;;) {
    const bundle = greatestBundle(slots, end, goals);
    if (bundle.size === 0) return { goals, bundles, states, end };
    end = end.map((version, index) => bundle.get(index)?.version ?? version);
    bundles.push(bundle);
    states.push(end);
  }
}

/**
 * The greatest set of steps whose requirements hold once all of them are installed. Two such sets
 * together, the newer step of each ECU taken, are one again; so there is a greatest, and lowering
 * the newest steps for as long as a requirement of theirs does not hold comes to it, in any order.
 */
function greatestBundle(slots: Slots, state: readonly SemVer[], goals: Goals): Bundle {
  const { all, byType, dependants } = slots;
  /** The place of each slot's step in `usable`; past the end when it stays as it is. */
  const places = all.map((slot) => nextPlace(slot, state, goals, 0));
  const stepOf = (slot: Slot) => slot.usable[places[slot.index] ?? slot.usable.length];
  const isFulfilled = ({ ecu_type, version }: Step["requires"][number]) =>
    byType.get(ecu_type)?.every((slot) => {
      const after = stepOf(slot)?.version ?? state[slot.index];
      return after !== undefined && !isBelow(after, version);
    }) ?? false;

  const unchecked = [...all];
  for (let slot = unchecked.pop(); slot; slot = unchecked.pop()) {
    const before = places[slot.index];
    for (let step = stepOf(slot); step && !step.requires.every(isFulfilled); step = stepOf(slot)) {
      places[slot.index] = nextPlace(slot, state, goals, (places[slot.index] ?? 0) + 1);
    }
    if (places[slot.index] !== before) {
      unchecked.push(...(dependants.get(slot.ecu.ecu_type) ?? []));
    }
  }
  return new Map(
    all.flatMap((slot) => {
      const step = stepOf(slot);
      return step ? [[slot.index, step] as const] : [];
    }),
  );
}

/** From `place` on, the first step that may be taken from where the slot is now. */
function nextPlace(
  { index, usable }: Slot,
  state: readonly SemVer[],
  goals: Goals,
  place: number,
): number {
  const at = state[index];
  const goal = goals.get(index);
  if (at === undefined) return usable.length;
  const isUnderWay = goal !== undefined && isBelow(at, goal.version);
  for (let next = place; next < usable.length; next++) {
    const step = usable[next];
    if (step === undefined || !isBelow(at, step.version)) break;
    if (step.from && isBelow(at, step.from)) continue;
    // Another build of the goal's version would make the goal unreachable.
    if (isUnderWay && step !== goal && !isBelow(step.version, goal.version)) continue;
    return next;
  }
  return usable.length;
}
