import type { DryRun } from "#protocol/api/dry-run.ts";
import type { BlockedReason } from "#protocol/api/ota.ts";
import type { BlockedEcu, Plan } from "#server/firmware/planner.ts";
import type { Choice, Group } from "#server/targeting/groups.ts";
import type { Campaign } from "./campaign.ts";

/** What a campaign comes to for vehicles that are alike. */
export type DryRunOutcome =
  | { kind: "planned" | "blocked"; plan: Plan }
  | { kind: "up_to_date" | "not_concerned" | "without_vci" };

/** Another campaign for ECUs of the same types. */
export interface OtherCampaign {
  campaign: Pick<Campaign, "campaign_id" | "name" | "state">;
  ecu_types: string[];
  members: Choice;
}

/** VINs of a sample. */
const SAMPLE = 10;

/** Adds up what a campaign comes to, group by group. */
export function createDryRunTally(waveCount: number, others: readonly OtherCampaign[]) {
  const counts = { matched: 0, members: 0, up_to_date: 0, not_concerned: 0, without_vci: 0 };
  const waves = Array.from({ length: waveCount }, (_, wave) => ({ wave, members: 0, planned: 0 }));
  const planned = createPlannedTally();
  const blocked = createBlockedTally();
  const conflicts = others.map(({ campaign: { campaign_id, name, state }, ecu_types }) => ({
    ...{ campaign_id, name, state, ecu_types },
    ...{ vehicles: 0, sample: new Set<string>() },
  }));

  function addPlan(group: Group, plan: Plan): void {
    planned.add(group.count, plan);
    const types = new Set(installs(plan).map(({ ecu }) => ecu.ecu_type));
    for (const [index, conflict] of conflicts.entries()) {
      if (group.flags[index] !== true || !conflict.ecu_types.some((type) => types.has(type))) {
        continue;
      }
      conflict.vehicles += group.count;
      addSample(conflict.sample, group);
    }
  }

  return {
    /** Vehicles that fit the filter and are beyond the percentage. */
    matchedOnly({ count }: Group): void {
      counts.matched += count;
    },
    member(group: Group, wave: number, outcome: DryRunOutcome): void {
      const { count } = group;
      counts.matched += count;
      counts.members += count;
      const ofWave = waves[wave];
      if (ofWave) ofWave.members += count;
      if (outcome.kind === "planned") {
        if (ofWave) ofWave.planned += count;
        addPlan(group, outcome.plan);
        blocked.addReasons(group, [...outcome.plan.blocked, ...outcome.plan.held]);
      } else if (outcome.kind === "blocked") {
        blocked.addVehicles(group, outcome.plan.blocked);
      } else counts[outcome.kind] += count;
    },
    result(): Omit<DryRun, "releases" | "warnings"> {
      return {
        ...counts,
        waves,
        planned: planned.result(),
        blocked: blocked.result(),
        conflicts: conflicts
          .filter(({ vehicles }) => vehicles > 0)
          .map(({ sample, ...conflict }) => ({ ...conflict, sample: [...sample] })),
      };
    },
  };
}

function installs({ outdated, later }: Plan): Plan["outdated"] {
  return [...outdated, ...later.flat()];
}

function createPlannedTally() {
  let vehicles = 0;
  let total = 0;
  const byBundles = new Map<number, number>();
  const byBytes = new Map<number, number>();
  const byInstall = new Map<string, DryRun["planned"]["ecus"][number]>();
  return {
    add(count: number, plan: Plan): void {
      const steps = installs(plan);
      const bytes = steps.reduce((sum, { release }) => sum + release.size, 0);
      vehicles += count;
      total += bytes * count;
      increase(byBundles, 1 + plan.later.length, count);
      increase(byBytes, bytes, count);
      for (const [firmware, ecus] of Map.groupBy(steps, ({ release }) => release)) {
        const { firmware_id, ecu_type, version } = firmware;
        const known = byInstall.get(firmware_id) ?? { ecu_type, version, ecus: 0, vehicles: 0 };
        known.ecus += ecus.length * count;
        known.vehicles += count;
        byInstall.set(firmware_id, known);
      }
    },
    result(): DryRun["planned"] {
      const sizes = [...byBytes].sort(([a], [b]) => a - b);
      return {
        vehicles,
        bundles: [...byBundles]
          .sort(([a], [b]) => a - b)
          .map(([bundles, each]) => ({ bundles, vehicles: each })),
        bytes: { total, p50: medianOf(sizes, vehicles), max: sizes.at(-1)?.[0] ?? 0 },
        ecus: [...byInstall.values()].sort((a, b) => b.ecus - a.ecus),
      };
    },
  };
}

function createBlockedTally() {
  let vehicles = 0;
  const byReason = new Map<
    BlockedReason,
    { vehicles: number; ecus: number; detail: string; sample: Set<string> }
  >();

  function addReasons(group: Group, ecus: readonly BlockedEcu[]): void {
    for (const [reason, alike] of Map.groupBy(ecus, (each) => each.reason)) {
      const detail = alike[0]?.detail ?? "";
      const known = byReason.get(reason) ?? { vehicles: 0, ecus: 0, detail, sample: new Set() };
      known.vehicles += group.count;
      known.ecus += alike.length * group.count;
      addSample(known.sample, group);
      byReason.set(reason, known);
    }
  }

  return {
    addReasons,
    addVehicles(group: Group, ecus: readonly BlockedEcu[]): void {
      vehicles += group.count;
      addReasons(group, ecus);
    },
    result(): DryRun["blocked"] {
      const reasons = [...byReason]
        .map(([reason, { sample, ...known }]) => ({ reason, ...known, sample: [...sample] }))
        .sort((a, b) => b.vehicles - a.vehicles);
      return { vehicles, reasons };
    },
  };
}

/** @param ascending values with how often each is there, `count` in all */
function medianOf(ascending: readonly [value: number, times: number][], count: number): number {
  let passed = 0;
  for (const [value, times] of ascending) {
    passed += times;
    if (passed * 2 >= count) return value;
  }
  return 0;
}

function increase<Key>(counts: Map<Key, number>, key: Key, by: number): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
}

function addSample(sample: Set<string>, { vins }: Group): void {
  for (const vin of vins) if (sample.size < SAMPLE) sample.add(vin);
}
