import { sql, type Selectable } from "kysely";
import type { Vci } from "#protocol/api/vci.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import type { DirectorIssueTable } from "./table.ts";

type Issue = Selectable<DirectorIssueTable>;

/** What is wanted of a vehicle, by what tells one wish from another, and what was issued last. */
export interface DirectorState {
  root_version: number;
  update_id: string | null;
  vci_id: string | null;
  issue: Omit<Issue, "vin" | "snapshot" | "targets"> | null;
}

/** @returns undefined for a vehicle that has not registered */
export async function directorState(db: Db, vin: string): Promise<DirectorState | undefined> {
  const row = await db
    .selectFrom("vehicle")
    .leftJoin("vehicle_update as open", (join) =>
      join.onRef("open.vin", "=", "vehicle.vin").on("open.completed_at", "is", null),
    )
    .leftJoin("vci", (join) =>
      join.onRef("vci.vin", "=", "vehicle.vin").on("vci.current", "=", true),
    )
    .leftJoinLateral(
      (eb) =>
        eb
          .selectFrom("director_issue")
          .selectAll()
          .whereRef("director_issue.vin", "=", "vehicle.vin")
          .orderBy("version", "desc")
          .limit(1)
          .as("last"),
      (join) => join.onTrue(),
    )
    .select([
      "open.update_id",
      "vci.vci_id",
      "last.version as last_version",
      "last.root_version as last_root",
      "last.update_id as last_update",
      "last.vci_id as last_vci",
      "last.expires_at",
      "last.timestamp",
      sql<number>`(
        select max(version) from trust_metadata
        where repository = 'director' and role = 'root' and live
      )`.as("root_version"),
    ])
    .where("vehicle.vin", "=", vin)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { update_id, vci_id, root_version } = row;
  const issue =
    row.last_version === null ||
    row.last_root === null ||
    row.expires_at === null ||
    row.timestamp === null
      ? null
      : {
          version: row.last_version,
          root_version: row.last_root,
          update_id: row.last_update,
          vci_id: row.last_vci,
          expires_at: row.expires_at,
          timestamp: row.timestamp,
        };
  return { root_version, update_id, vci_id, issue };
}

/** The open update's package, and the vehicle as its newest VCI tells it. */
export interface WantedUpdate {
  package_id: string | null;
  nonce: string | null;
  ecus: Vci["ecus"];
}

export async function wantedFor(tx: Tx, vin: string): Promise<WantedUpdate> {
  const open = await tx
    .selectFrom("vehicle_update")
    .select("package_id")
    .where("vin", "=", vin)
    .where("completed_at", "is", null)
    .executeTakeFirst();
  const vci = await tx
    .selectFrom("vci")
    .select(["nonce", "ecus"])
    .where("vin", "=", vin)
    .where("current", "=", true)
    .executeTakeFirst();
  return {
    package_id: open?.package_id ?? null,
    nonce: vci?.nonce ?? null,
    ecus: vci?.ecus ?? [],
  };
}

/** A vehicle may be in the middle of reading an earlier one. */
const KEPT_ISSUES = 3;

export async function insertIssue(tx: Tx, issue: Issue): Promise<void> {
  await tx.insertInto("director_issue").values(issue).execute();
  await sql`
    delete from director_issue where vin = ${issue.vin} and version not in (
      select version from director_issue where vin = ${issue.vin}
      order by version desc limit ${KEPT_ISSUES}
    )
  `.execute(tx);
}

/** A snapshot or targets of a vehicle, as long as it is kept. */
export async function issuedFile(
  db: Db,
  vin: string,
  role: "snapshot" | "targets",
  version: number,
): Promise<Buffer | undefined> {
  const row = await db
    .selectFrom("director_issue")
    .select(role)
    .where("vin", "=", vin)
    .where("version", "=", version)
    .executeTakeFirst();
  return row?.[role];
}
