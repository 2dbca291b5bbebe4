import { isNewDtcs, isSilence, type Participation } from "./participation.ts";

/** What is counted. */
export const counted = [
  "started",
  "updating",
  "soaking",
  "succeeded",
  "failed",
  "rolled_back",
  "reverted",
  "silent",
  "new_dtcs",
] as const;
export type Counted = (typeof counted)[number];
export type Counts = Record<Counted, number>;

/** Counts of whole vehicles (both names empty), or of those with ECUs of a type and hardware. */
export interface GroupCounts {
  ecu_type: string;
  hardware_version: string;
  counts: Counts;
}

/** How a vehicle stands, as far as it is counted. */
export type Standing = Pick<Participation, "status" | "reason" | "groups">;

/**
 * By how much the counters change when a vehicle's standing does: what it is counted by afterwards,
 * less what it was counted by before. So the counters are the sum over all vehicles whatever came,
 * in whichever order. The whole vehicle comes first, and always.
 */
export function difference(
  before: Standing | undefined,
  after: Standing | undefined,
): GroupCounts[] {
  const groups = new Map<string, GroupCounts>();
  for (const [standing, sign] of [
    [after, 1],
    [before, -1],
  ] as const) {
    for (const { ecu_type, hardware_version, counts } of countsOf(standing)) {
      const key = `${ecu_type}\n${hardware_version}`;
      const group = groups.get(key) ?? { ecu_type, hardware_version, counts: nothing() };
      for (const each of counted) group.counts[each] += sign * counts[each];
      groups.set(key, group);
    }
  }
  return [...groups.values()].filter(
    ({ ecu_type, counts }) => ecu_type === "" || counted.some((each) => counts[each] !== 0),
  );
}

/** What one vehicle is counted by. */
function countsOf(standing: Standing | undefined): GroupCounts[] {
  const whole = { ecu_type: "", hardware_version: "" };
  if (standing === undefined) return [{ ...whole, counts: nothing() }];
  const { status, groups } = standing;
  const own = ownCounts(standing);
  const updating = status === "updating" ? 1 : 0;
  const hasFailed = status === "failed" || status === "rolled_back";
  return [
    { ...whole, counts: { ...own, updating } },
    ...groups.map(({ ecu_type, hardware_version, failed }) => ({
      ecu_type,
      hardware_version,
      // Of a vehicle that failed by other ECUs nothing is known of these.
      counts: hasFailed && !failed ? { ...nothing(), started: 1 } : own,
    })),
  ];
}

function ownCounts({ status, reason }: Standing): Counts {
  const counts = { ...nothing(), started: 1 };
  switch (status) {
    case "waiting":
    case "updating":
      return counts;
    case "soaking":
      return { ...counts, soaking: 1 };
    case "succeeded":
    // It runs what it got until it shows otherwise.
    case "reverting":
      return { ...counts, succeeded: 1 };
    case "reverted":
      return { ...counts, reverted: 1 };
    case "failed":
      return {
        ...counts,
        failed: 1,
        silent: isSilence(reason) ? 1 : 0,
        new_dtcs: isNewDtcs(reason) ? 1 : 0,
      };
    case "rolled_back":
      return { ...counts, rolled_back: 1 };
  }
}

export function nothing(): Counts {
  return {
    started: 0,
    updating: 0,
    soaking: 0,
    succeeded: 0,
    failed: 0,
    rolled_back: 0,
    reverted: 0,
    silent: 0,
    new_dtcs: 0,
  };
}
