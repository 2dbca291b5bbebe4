import type { GroupPolicy, PolicySettings } from "#protocol/api/policy.ts";
import type { Db } from "#server/database/connection.ts";
import { follow } from "#server/database/follow.ts";
import type { Log } from "#server/runtime/log.ts";
import { matches, parseFilter, type Filter } from "#server/targeting/filter.ts";
import type { TargetVehicle } from "#server/targeting/vehicle.ts";
import { checkSettings, inOrder, policyOf, type Policy } from "./policy.ts";
import { policiesChangedSince, type PolicyRow } from "./queries.ts";

/** All policies in memory. */
export interface PolicyBook {
  /** A vehicle's own, else the first one of a group that it belongs to, else the configuration's. */
  policyFor(vehicle: TargetVehicle): Policy;
  /** What policies are set over. */
  defaults: PolicySettings;
  /** Takes up what has changed in the database. */
  refresh(): Promise<void>;
  stop(): void;
}

/**
 * Reads all policies, then follows them.
 * @param deps.everyMs how often another gateway's changes are looked for; undefined where there is
 *   none
 * @throws ProblemError POLICY_INVALID for defaults that nobody could follow; the database's error
 *   when the first reading fails
 */
export async function openPolicyBook(deps: {
  db: Db;
  defaults: PolicySettings;
  everyMs: number | undefined;
  log: Log;
}): Promise<PolicyBook> {
  const { db, defaults, everyMs, log } = deps;
  checkSettings(defaults, {});
  const own = new Map<string, { policy: Policy; changed_at: Date }>();
  const byId = new Map<string, Group>();
  const taken = new Map<string, Date>();
  let groups: readonly Group[] = [];
  const otherwise = policyOf(defaults, {}, { source: "default", policy_id: null, name: null });

  function take({ policy_id, vin, group, own: theirs, changed_at }: PolicyRow): void {
    // Rows come again, and an older reading may come later.
    if ((taken.get(policy_id) ?? changed_at) > changed_at) return;
    taken.set(policy_id, changed_at);
    if (vin !== null && theirs === null) own.delete(vin);
    if (theirs !== null) {
      const origin = { source: "vehicle", policy_id, name: null } as const;
      const policy = policyOf(defaults, theirs.settings, origin);
      own.set(theirs.vin, { policy, changed_at });
    }
    if (vin !== null) return;
    const compiled = group === null ? undefined : groupOf(defaults, group, log);
    if (compiled) byId.set(policy_id, compiled);
    else byId.delete(policy_id);
  }

  const followed = await follow({
    what: "the policies of updates",
    changedSince: (since) => policiesChangedSince(db, since),
    apply(rows) {
      for (const row of rows) take(row);
      groups = [...byId.values()].toSorted((a, b) => inOrder(a.group, b.group));
    },
    everyMs,
    log,
  });
  /** A vehicle that was removed takes its policy along, and nothing of it is left to follow. */
  function ownOf({ vin, registered_at }: TargetVehicle): Policy | undefined {
    const found = own.get(vin);
    return found && found.changed_at >= registered_at ? found.policy : undefined;
  }

  return {
    policyFor: (vehicle) =>
      ownOf(vehicle) ?? groups.find(({ filter }) => matches(filter, vehicle))?.policy ?? otherwise,
    defaults,
    refresh: () => followed.refresh(),
    stop: () => followed.stop(),
  };
}

interface Group {
  group: GroupPolicy;
  filter: Filter;
  policy: Policy;
}

/** Undefined for a filter that another version of the gateway has taken and this one can't read. */
function groupOf(defaults: PolicySettings, group: GroupPolicy, log: Log): Group | undefined {
  const { policy_id, name, settings } = group;
  try {
    const filter = parseFilter(group.filter);
    const policy = policyOf(defaults, settings, { source: "group", policy_id, name });
    return { group, filter, policy };
  } catch (error) {
    log.error({ err: error, policy_id }, `The policy "${name}" is for nobody`);
    return undefined;
  }
}
