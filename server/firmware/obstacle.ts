import type { SemVer } from "semver";
import type { BlockedReason } from "#protocol/api/ota.ts";
import type { Course } from "./course.ts";
import { isForHardware, isOffered, isOnChannel, type Slot, type Slots } from "./slot.ts";
import { isBelow, type Step } from "./step.ts";

/** Why an ECU can't have a release. */
export interface Obstacle {
  reason: BlockedReason;
  /** For people: what it comes down to, over other ECUs where they are what it fails at. */
  detail: string;
}

/**
 * The obstacle to the release among `steps` that is closest to being installed: one that fails at a
 * requirement is closer than one on another channel. Of equally close ones the newest counts.
 * @param steps newest first, none of which the ECU comes to
 */
export function obstacleTo(
  slots: Slots,
  course: Course,
  slot: Slot,
  steps: readonly Step[],
): Obstacle | undefined {
  const trail = trailTo({ slots, course, seen: new Set() }, slot, steps);
  return trail && { reason: trail.reason, detail: sentence(trail.parts) };
}

/** Every obstacle to a release, none of which hides another. */
export function obstaclesTo(slots: Slots, course: Course, slot: Slot, step: Step): Obstacle[] {
  const obstacles: Obstacle[] = barriers(slots, slot, step);
  const search = () => ({ slots, course, seen: new Set([keyOf(slot, step)]) });
  const trails = [
    stepTrail(search(), slot, step),
    ...step.requires.map((requirement) => requirementTrail(search(), step, requirement)),
  ];
  for (const trail of trails) {
    if (trail) obstacles.push({ reason: trail.reason, detail: sentence(trail.parts) });
  }
  return obstacles;
}

interface Search {
  slots: Slots;
  /** How far each ECU can come. */
  course: Course;
  /** What is looked into already: releases may require each other. */
  seen: Set<string>;
}

/** From a release over what it lacks to the root of that. */
interface Trail {
  reason: BlockedReason;
  parts: readonly string[];
}

/** What is said of a long trail: where it starts, and its root. */
const MAX_PARTS = 4;

function sentence(parts: readonly string[]): string {
  const said =
    parts.length <= MAX_PARTS ? parts : [...parts.slice(0, MAX_PARTS - 1), "…", ...parts.slice(-1)];
  return said.join("; ");
}

/**
 * Something that is looked into already leads nowhere new. Whatever is blocked is so for a root
 * that is not blocked by itself, so that some release on the way leads on to it.
 */
function trailTo(search: Search, slot: Slot, steps: readonly Step[]): Trail | undefined {
  const closest = steps
    .map((step) => ({ step, closeness: closeness(search, slot, step) }))
    .sort((a, b) => b.closeness - a.closeness);
  for (const { step } of closest) {
    const key = keyOf(slot, step);
    if (search.seen.has(key)) continue;
    search.seen.add(key);
    const trail = trailOf(search, slot, step);
    if (trail) return trail;
  }
  return undefined;
}

function trailOf(search: Search, slot: Slot, step: Step): Trail | undefined {
  const [barrier] = barriers(search.slots, slot, step);
  if (barrier) return { reason: barrier.reason, parts: [barrier.detail] };
  const missing = stepTrail(search, slot, step);
  if (missing) return missing;
  let trail: Trail | undefined;
  for (const requirement of step.requires) {
    const next = requirementTrail(search, step, requirement);
    // What is not in the vehicle at all never comes.
    if (next?.reason === "REQUIREMENT_ABSENT") return next;
    trail ??= next;
  }
  return trail;
}

function closeness({ slots, course }: Search, { index, ecu }: Slot, step: Step): number {
  const { release, from } = step;
  if (!isForHardware(release, ecu)) return 0;
  if (!isOnChannel(release, slots.channel)) return 1;
  if (!isOffered(release, slots.only)) return 2;
  return from && isBelow(endOf(course, index), from) ? 3 : 4;
}

/** What stands between a release and an ECU, whatever else is installed. */
function barriers({ channel, only }: Slots, { ecu }: Slot, { release }: Step): Obstacle[] {
  const found: Obstacle[] = [];
  if (!isForHardware(release, ecu)) {
    const detail = `${release.version} is not for hardware ${ecu.hardware_version}`;
    found.push({ reason: "NO_FIRMWARE_FOR_HARDWARE", detail });
  }
  if (!isOnChannel(release, channel)) {
    const detail = `${release.version} is on ${release.channel}, the vehicle follows ${channel}`;
    found.push({ reason: "CHANNEL_NOT_ALLOWED", detail });
  }
  if (!isOffered(release, only)) {
    const detail = `${release.version} comes by a campaign only`;
    found.push({ reason: "CAMPAIGN_ONLY", detail });
  }
  return found;
}

function stepTrail(search: Search, slot: Slot, step: Step): Trail | undefined {
  const { from, release } = step;
  const end = endOf(search.course, slot.index);
  if (from === undefined || !isBelow(end, from)) return undefined;
  const furthest = isBelow(slot.installed, end) ? `${end.raw} is the most` : `this is ${end.raw}`;
  const part = `${release.version} needs at least ${from.raw}, ${furthest}`;
  const between = slot.newer.filter(
    ({ version }) => isBelow(version, step.version) && !isBelow(version, from),
  );
  const root = trailTo(search, slot, between);
  const isRequirement = root?.reason.startsWith("REQUIREMENT_") ?? false;
  return {
    reason: root && isRequirement ? root.reason : "STEP_MISSING",
    parts: [part, ...(root?.parts ?? [])],
  };
}

/** Nothing when it is met, or when it only fails at what the trail comes from. */
function requirementTrail(
  search: Search,
  { release }: Step,
  { ecu_type, version }: Step["requires"][number],
): Trail | undefined {
  const needs = `${release.version} needs ${ecu_type} ${version.raw}`;
  const required = search.slots.byType.get(ecu_type);
  if (required === undefined) {
    return { reason: "REQUIREMENT_ABSENT", parts: [`${needs}, which the vehicle does not have`] };
  }
  for (const slot of required) {
    const end = endOf(search.course, slot.index);
    if (!isBelow(end, version)) continue;
    const part = `${needs}, the most for ${slot.ecu.ecu_id} is ${end.raw}`;
    const root = rootOf(search, slot, version);
    if (root) return { reason: "REQUIREMENT_UNMET", parts: [part, ...root] };
  }
  return undefined;
}

/** Why an ECU does not come to a version. */
function rootOf(search: Search, slot: Slot, version: SemVer): readonly string[] | undefined {
  const { ecu_id, ecu_type } = slot.ecu;
  const goal = search.course.goals.get(slot.index);
  if (goal && isBelow(goal.version, version)) {
    return [`${ecu_id} is to come to ${goal.release.version} first`];
  }
  const steps = slot.newer.filter((step) => !isBelow(step.version, version));
  if (steps.length === 0) return [`nothing is published for ${ecu_type} from there on`];
  const [first, ...rest] = trailTo(search, slot, steps)?.parts ?? [];
  return first === undefined ? undefined : [`${ecu_id}: ${first}`, ...rest];
}

function keyOf({ ecu }: Slot, { release }: Step): string {
  return `${ecu.ecu_id} ${release.firmware_id}`;
}

function endOf({ end }: Course, index: number): SemVer {
  const version = end[index];
  if (version === undefined) throw new TypeError(`there is no slot ${index}`);
  return version;
}
