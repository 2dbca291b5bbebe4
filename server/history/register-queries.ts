import { sql } from "kysely";
import type { IssuedRecord, RegisterEntry, RegisterRecord } from "#protocol/api/register.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import type { UpdateMoved } from "#server/updates/moved.ts";
import type { Target } from "#server/updates/update.ts";

type IssuedEcu = IssuedRecord["ecus"][number];

/** A target with what the catalogue says of it and of what it replaces. */
export type RegulatedTarget = Omit<IssuedEcu, "compatibility"> &
  Omit<IssuedEcu["compatibility"], "requires"> & {
    requires: { ecu_type: string; min_version: string }[];
  };

export async function regulatedTargets(
  tx: Tx,
  targets: readonly Target[],
): Promise<RegulatedTarget[]> {
  const { rows } = await sql<RegulatedTarget>`
    select ecu_id, zone_id, target.ecu_type, hardware_version, target.firmware_id,
      new.sha256 as image_sha256, from_version, to_version, old.rxswin as rxswin_before,
      new.rxswin as rxswin_after, new.hardware_versions, new.min_current_version, new.channel,
      new.availability, new.requires
    from jsonb_to_recordset(${JSON.stringify(targets)}::jsonb) as target (
        ecu_id text, zone_id text, ecu_type text, hardware_version text, firmware_id uuid,
        from_version text, to_version text
      )
      join firmware new on new.firmware_id = target.firmware_id
      left join firmware old on old.ecu_type = target.ecu_type and old.version = from_version
    order by ecu_id`.execute(tx);
  return rows;
}

/** What is known of a vehicle and its update now. */
export interface Facts {
  channel: string | null;
  campaign: IssuedRecord["campaign"];
  package: IssuedRecord["package"];
  started_at: string | null;
  vci: {
    proof: NonNullable<IssuedRecord["vci"]>;
    ecus: { ecu_id: string; ecu_type: string; software_version: string }[];
  } | null;
}

export async function factsOf(
  tx: Tx,
  { update_id, vin }: Pick<UpdateMoved, "update_id" | "vin">,
): Promise<Facts> {
  const { rows } = await sql<{
    channel: string | null;
    package_id: string;
    manifest_sha256: string | null;
    started_at: Date | null;
    campaign_id: string | null;
    name: string;
    created_by: string;
    approved_by: string | null;
    approved_at: Date | null;
    vci_id: string | null;
    received_at: Date;
    evidence: string;
    ecus: { ecu_id: string; ecu_type: string; software_version: string }[];
  }>`
    select vehicle.channel, u.package_id, u.started_at,
      encode(sha256(package.manifest), 'hex') as manifest_sha256,
      c.campaign_id, c.name, c.created_by, c.approved_by, c.approved_at,
      vci.vci_id, vci.received_at, vci.evidence, vci.ecus
    from vehicle_update u
      left join vehicle on vehicle.vin = u.vin
      left join package on package.package_id = u.package_id
      left join campaign c on c.campaign_id = u.campaign_id
      left join vci on vci.vin = u.vin and vci.current
    where u.update_id = ${update_id} and u.vin = ${vin}`.execute(tx);
  const [row] = rows;
  if (row === undefined) throw new Error(`update ${update_id} is not there`);
  const { campaign_id, name, created_by, approved_by, approved_at } = row;
  return {
    channel: row.channel,
    campaign:
      campaign_id === null
        ? null
        : {
            campaign_id,
            name,
            created_by,
            approved_by,
            approved_at: approved_at?.toISOString() ?? null,
          },
    package: { package_id: row.package_id, manifest_sha256: row.manifest_sha256 },
    started_at: row.started_at?.toISOString() ?? null,
    vci:
      row.vci_id === null
        ? null
        : {
            proof: {
              vci_id: row.vci_id,
              received_at: row.received_at.toISOString(),
              evidence: row.evidence,
            },
            ecus: row.ecus,
          },
  };
}

/** What the register says of the making of an update. */
export interface Issue {
  record_id: string;
  hash: string;
  record: IssuedRecord;
}

export async function issueOf(tx: Tx, updateId: string): Promise<Issue | undefined> {
  const row = await tx
    .selectFrom("register_record")
    .select(["record_id", "hash", "record"])
    .where("update_id", "=", updateId)
    .where("kind", "=", "issued")
    .executeTakeFirst();
  return row && { ...row, hash: row.hash.toString("hex"), record: row.record as IssuedRecord };
}

export async function insertRecord(tx: Tx, record: RegisterRecord, hash: string): Promise<void> {
  const { record_id, kind, update_id, vin, rxswins, at } = record;
  await tx
    .insertInto("register_record")
    .values({
      ...{ record_id, kind, update_id, vin, rxswins },
      at: new Date(at),
      record: JSON.stringify(record),
      hash: Buffer.from(hash, "hex"),
    })
    .execute();
}

/** Records whose hashes the audit log does not have; nobody else enters them meanwhile. */
export async function lockUnentered(
  tx: Tx,
  limit: number,
): Promise<{ record_id: string; hash: string }[]> {
  const rows = await tx
    .selectFrom("register_record")
    .select(["record_id", "hash"])
    .where("audit_seq", "is", null)
    .orderBy("record_no")
    .limit(limit)
    .forUpdate()
    .skipLocked()
    .execute();
  return rows.map(({ record_id, hash }) => ({ record_id, hash: hash.toString("hex") }));
}

export async function markEntered(tx: Tx, ids: readonly string[], seq: number): Promise<void> {
  await tx
    .updateTable("register_record")
    .set({ audit_seq: seq })
    .where(sql<boolean>`record_id = any (${ids}::uuid[])`)
    .execute();
}

export interface RegisterFilter {
  vin?: string | undefined;
  rxswin?: string | undefined;
  update_id?: string | undefined;
  /** Written from this time on. */
  from?: Date | undefined;
  /** Written before this time. */
  to?: Date | undefined;
  /** Only those that the audit log has. */
  isEntered?: boolean;
}

/** Records, in the order of their ids or back, from behind `cursor` on. */
export async function listRecords(
  db: Db,
  { vin, rxswin, update_id, from, to, isEntered = false }: RegisterFilter,
  { cursor, limit, order }: { cursor?: string | undefined; limit: number; order: "asc" | "desc" },
): Promise<RegisterEntry[]> {
  let query = db
    .selectFrom("register_record")
    .select(["record", "hash", "audit_seq"])
    .orderBy("record_id", order)
    .limit(limit);
  if (cursor !== undefined) {
    query = query.where("record_id", order === "asc" ? ">" : "<", cursor);
  }
  if (vin !== undefined) query = query.where("vin", "=", vin);
  if (update_id !== undefined) query = query.where("update_id", "=", update_id);
  if (rxswin !== undefined) query = query.where(sql<boolean>`rxswins @> array[${rxswin}]`);
  if (from !== undefined) query = query.where("at", ">=", from);
  if (to !== undefined) query = query.where("at", "<", to);
  if (isEntered) query = query.where("audit_seq", "is not", null);
  return (await query.execute()).map(asEntry);
}

export async function recordById(db: Db, recordId: string): Promise<RegisterEntry | undefined> {
  const row = await db
    .selectFrom("register_record")
    .select(["record", "hash", "audit_seq"])
    .where("record_id", "=", recordId)
    .executeTakeFirst();
  return row && asEntry(row);
}

function asEntry(row: {
  record: RegisterRecord;
  hash: Buffer;
  audit_seq: number | null;
}): RegisterEntry {
  return { ...row, hash: row.hash.toString("hex") };
}
