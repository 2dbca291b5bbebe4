import { randomUUIDv7 } from "node:crypto";
import { sql, type Selectable } from "kysely";
import type { GroupPolicy, GroupPolicyContent, PolicyChange } from "#protocol/api/policy.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import type { UpdatePolicyTable } from "./table.ts";

/** What somebody has set for one vehicle. */
export interface VehiclePolicy {
  policy_id: string;
  vin: string;
  settings: PolicyChange;
}

/** A policy as it is now; null: it was removed. */
export interface PolicyRow {
  policy_id: string;
  /** null: of a group. */
  vin: string | null;
  group: GroupPolicy | null;
  own: VehiclePolicy | null;
  changed_at: Date;
}

/** Policies that were made, changed or removed since. */
export async function policiesChangedSince(db: Db, since: Date): Promise<PolicyRow[]> {
  const rows = await db
    .selectFrom("update_policy")
    .selectAll()
    .where("changed_at", ">", since)
    .execute();
  return rows.map((row) => ({
    policy_id: row.policy_id,
    vin: row.vin,
    group: asGroup(row) ?? null,
    own: asOwn(row) ?? null,
    changed_at: row.changed_at,
  }));
}

/** Of groups, in the order in which their filters are tried. */
export async function listGroupPolicies(db: Db): Promise<GroupPolicy[]> {
  const rows = await db
    .selectFrom("update_policy")
    .selectAll()
    .where("vin", "is", null)
    .where("settings", "is not", null)
    .orderBy("position")
    .orderBy("policy_id")
    .execute();
  return rows.flatMap((row) => asGroup(row) ?? []);
}

export async function groupPolicyById(db: Db, policyId: string): Promise<GroupPolicy | undefined> {
  const row = await db
    .selectFrom("update_policy")
    .selectAll()
    .where("policy_id", "=", policyId)
    .executeTakeFirst();
  return row && asGroup(row);
}

/** Adds a group's policy, unless there are `most` already. @returns undefined then */
export async function insertGroupPolicy(
  tx: Tx,
  content: GroupPolicyContent,
  { by, most }: { by: string; most: number },
): Promise<GroupPolicy | undefined> {
  // Nobody adds another one between counting and adding.
  await sql`lock table update_policy in share row exclusive mode`.execute(tx);
  const { count } = await tx
    .selectFrom("update_policy")
    .select((select) => select.fn.countAll<number>().as("count"))
    .where("vin", "is", null)
    .where("settings", "is not", null)
    .executeTakeFirstOrThrow();
  if (count >= most) return undefined;
  const row = await tx
    .insertInto("update_policy")
    .values({ policy_id: randomUUIDv7(), ...groupColumns(content), changed_by: by })
    .returningAll()
    .executeTakeFirstOrThrow();
  return asGroup(row);
}

/** Replaces a group's policy. @returns undefined when there is none */
export async function replaceGroupPolicy(
  tx: Tx,
  policyId: string,
  content: GroupPolicyContent,
  by: string,
): Promise<GroupPolicy | undefined> {
  const row = await tx
    .updateTable("update_policy")
    .set({ ...groupColumns(content), changed_by: by, changed_at: sql<Date>`now()` })
    .where("policy_id", "=", policyId)
    .where("vin", "is", null)
    .where("settings", "is not", null)
    .returningAll()
    .executeTakeFirst();
  return row && asGroup(row);
}

/** Sets what holds for one vehicle. The vehicle must exist. */
export async function saveVehiclePolicy(
  tx: Tx,
  vin: string,
  settings: PolicyChange,
  by: string,
): Promise<VehiclePolicy> {
  const row = await tx
    .insertInto("update_policy")
    .values({
      policy_id: randomUUIDv7(),
      vin,
      settings: JSON.stringify(settings),
      changed_by: by,
      name: null,
      position: null,
      filter: null,
    })
    .onConflict((conflict) =>
      conflict.column("vin").doUpdateSet({
        settings: JSON.stringify(settings),
        changed_by: by,
        changed_at: sql<Date>`now()`,
      }),
    )
    .returning(["policy_id"])
    .executeTakeFirstOrThrow();
  return { policy_id: row.policy_id, vin, settings };
}

/** How long it is seen that a policy was removed. */
const SEEN = "1 day";

/** @returns the id of what was removed; undefined when there was nothing */
export async function removePolicy(
  tx: Tx,
  policy: { policy_id: string } | { vin: string },
  by: string,
): Promise<string | undefined> {
  await tx
    .deleteFrom("update_policy")
    .where("settings", "is", null)
    .where("changed_at", "<", sql<Date>`now() - ${SEEN}::interval`)
    .execute();
  const row = await tx
    .updateTable("update_policy")
    .set({ settings: null, changed_by: by, changed_at: sql<Date>`now()` })
    .where("settings", "is not", null)
    .where((where) =>
      "vin" in policy
        ? where("vin", "=", policy.vin)
        : where.and([where("policy_id", "=", policy.policy_id), where("vin", "is", null)]),
    )
    .returning("policy_id")
    .executeTakeFirst();
  return row?.policy_id;
}

function groupColumns({ settings, ...content }: GroupPolicyContent) {
  return { ...content, vin: null, settings: JSON.stringify(settings) };
}

function asGroup(row: Selectable<UpdatePolicyTable>): GroupPolicy | undefined {
  const { policy_id, name, position, filter, settings, changed_by, changed_at } = row;
  if (name === null || position === null || filter === null || settings === null) return undefined;
  return {
    policy_id,
    name,
    position,
    filter,
    settings,
    changed_by,
    changed_at: changed_at.toISOString(),
  };
}

function asOwn({
  policy_id,
  vin,
  settings,
}: Selectable<UpdatePolicyTable>): VehiclePolicy | undefined {
  return vin === null || settings === null ? undefined : { policy_id, vin, settings };
}
