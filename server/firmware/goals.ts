import type { SemVer } from "semver";
import { courseOf, type Bundle, type Course, type Goals } from "./course.ts";
import type { Slot, Slots } from "./slot.ts";
import { isBelow, type Step } from "./step.ts";

/** A course, and what shows why it goes no further. */
export interface Route {
  bundles: readonly Bundle[];
  /** The last step of an ECU; undefined when it stays as it is. */
  lastOf(slot: Slot): Step | undefined;
  /** The course on which an ECU would have come furthest to what it is to be brought to. */
  attempt(slot: Slot): Course;
}

/** The way to what the plan is for: the newest of everything, or certain releases. */
export function routeFor(slots: Slots): Route {
  if (slots.only) return routeToGoals(slots, slots.only);
  const course = courseOf(slots);
  return routeOf(course.bundles, () => course);
}

/**
 * Each ECU is brought to the newest of the releases that it can have. Anything else is installed
 * only if one of these needs it.
 */
function routeToGoals(slots: Slots, only: ReadonlySet<string>): Route {
  const attempts = new Map<number, Course>();
  const wanted = new Map(
    slots.all.map((slot) => [
      slot.index,
      slot.usable.filter(({ release }) => only.has(release.firmware_id)),
    ]),
  );
  const newest: Goals = new Map(
    [...wanted].flatMap(([index, [first]]) => (first ? [[index, first] as const] : [])),
  );
  let course = courseOf(slots, newest);
  const missed = [...newest].filter(([index, goal]) => bundleWith(course, index, goal) < 0);
  if (missed.length > 0) {
    // What an ECU can't have even if the others go wherever they like is no goal for it.
    const goals = new Map(newest);
    for (const [index] of missed) {
      goals.delete(index);
      for (const goal of wanted.get(index) ?? []) {
        const alone = courseOf(slots, new Map([[index, goal]]));
        const isReached = bundleWith(alone, index, goal) >= 0;
        if (isReached) goals.set(index, goal);
        else if (!attempts.has(index)) attempts.set(index, alone);
        if (isReached) break;
      }
    }
    course = courseOf(slots, goals);
  }
  const bundles = neededFor(slots, course);
  return routeOf(bundles, ({ index }) => attempts.get(index) ?? course);
}

function routeOf(bundles: readonly Bundle[], attempt: Route["attempt"]): Route {
  const last = new Map(bundles.flatMap((bundle) => [...bundle]));
  return { bundles, lastOf: ({ index }) => last.get(index), attempt };
}

function bundleWith({ bundles }: Course, index: number, step: Step): number {
  return bundles.findIndex((bundle) => bundle.get(index) === step);
}

/** The goals that a course reaches and what they need: everything else is left out of its bundles. */
function neededFor(slots: Slots, course: Course): Bundle[] {
  const needed: Map<number, Step>[] = course.bundles.map(() => new Map());
  const open: { slot: Slot; step: Step }[] = [];

  const need = (slot: Slot, place: number) => {
    const step = course.bundles[place]?.get(slot.index);
    if (step === undefined || needed[place]?.has(slot.index)) return;
    needed[place]?.set(slot.index, step);
    open.push({ slot, step });
  };
  /** Of the course's steps, the first one that brings the slot to the version. */
  const needVersion = (slot: Slot, version: SemVer) => {
    if (!isBelow(slot.installed, version)) return;
    const state = course.states.findIndex((versions) => {
      const at = versions[slot.index];
      return at !== undefined && !isBelow(at, version);
    });
    if (state > 0) need(slot, state - 1);
  };

  for (const [index, goal] of course.goals) {
    const slot = slots.all[index];
    if (slot) need(slot, bundleWith(course, index, goal));
  }
  for (let next = open.pop(); next; next = open.pop()) {
    const { slot, step } = next;
    if (step.from) needVersion(slot, step.from);
    for (const { ecu_type, version } of step.requires) {
      for (const required of slots.byType.get(ecu_type) ?? []) needVersion(required, version);
    }
  }
  leaveOutSpare(slots, course.goals, needed);
  return needed.filter(({ size }) => size > 0);
}

/** A step that was needed early may have been overtaken by one that is needed anyway, later. */
function leaveOutSpare(slots: Slots, goals: Goals, bundles: readonly Map<number, Step>[]): void {
  const versions = slots.all.map(({ installed }) => installed);
  for (const [place, bundle] of bundles.entries()) {
    for (const [index, step] of [...bundle]) {
      const before = versions[index];
      const next = bundles.find((later, at) => at > place && later.has(index))?.get(index);
      const isOvertaken = next && before && !(next.from && isBelow(before, next.from));
      if (isOvertaken && goals.get(index) !== step) {
        bundle.delete(index);
        if (isPossible(slots, bundles)) continue;
        bundle.set(index, step);
      }
      versions[index] = step.version;
    }
  }
}

function isPossible({ all, byType }: Slots, bundles: readonly Bundle[]): boolean {
  const versions = all.map(({ installed }) => installed);
  const isAtLeast = (index: number, version: SemVer | undefined) => {
    const at = versions[index];
    return version === undefined || (at !== undefined && !isBelow(at, version));
  };
  return bundles.every((bundle) => {
    const steps = [...bundle];
    if (!steps.every(([index, { from }]) => isAtLeast(index, from))) return false;
    for (const [index, { version }] of steps) versions[index] = version;
    return steps.every(([, { requires }]) =>
      requires.every(({ ecu_type, version }) =>
        byType.get(ecu_type)?.every(({ index }) => isAtLeast(index, version)),
      ),
    );
  });
}
