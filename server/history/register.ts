import { randomUUIDv7 } from "node:crypto";
import {
  REGISTER_ENTERED,
  registerHash,
  type IssuedRecord,
  type RegisterRecord,
  type ResultRecord,
  type RevertedRecord,
} from "#protocol/api/register.ts";
import { appendEntry } from "#server/audit/audit-log.ts";
import { auditHead } from "#server/audit/queries.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import type { UpdateMoved } from "#server/updates/moved.ts";
import * as queries from "./register-queries.ts";
import type { RegulatedTarget } from "./register-queries.ts";

/**
 * Writes down why an update was found fit for its vehicle, if it touches software that has an RxSWIN
 * (UN Regulation No. 156, 7.1.1.2 to 7.1.1.6).
 */
export async function recordIssue(tx: Tx, update: UpdateMoved, now: Date): Promise<void> {
  const targets = await queries.regulatedTargets(tx, update.targets);
  const rxswins = rxswinsOf(targets.flatMap((each) => [each.rxswin_before, each.rxswin_after]));
  if (rxswins.length === 0) return;
  const { channel, campaign, vci, ...facts } = await queries.factsOf(tx, update);
  const after = new Map(vci?.ecus.map((ecu) => [ecu.ecu_id, { ...ecu }]));
  for (const { ecu_id, ecu_type, to_version } of targets) {
    after.set(ecu_id, { ecu_id, ecu_type, software_version: to_version });
  }
  const record: IssuedRecord = {
    ...headOf(update, rxswins, now),
    kind: "issued",
    channel,
    campaign,
    package: facts.package,
    policy: update.grounds?.policy ?? null,
    command_id: update.grounds?.command_id ?? null,
    vci: vci && vci.proof,
    ecus: targets.map((target) => asEcu(target, [...after.values()])),
  };
  await insert(tx, record);
}

/** Writes down what became of an update whose issue is in the register. */
export async function recordResult(tx: Tx, update: UpdateMoved, now: Date): Promise<void> {
  const issue = await queries.issueOf(tx, update.update_id);
  if (issue === undefined) return;
  const facts = await queries.factsOf(tx, update);
  const record: ResultRecord = {
    ...laterOf(update, issue, facts, now),
    kind: "result",
    status: update.to,
    error: update.error && { code: update.error.code, message: update.error.message },
    started_at: facts.started_at,
  };
  await insert(tx, record);
}

/** Writes down that ECUs run again what they ran before updates whose issue is in the register. */
export async function recordReverted(
  tx: Tx,
  vin: string,
  reverted: readonly { update_id: string; ecu_id: string }[],
  now: Date,
): Promise<void> {
  for (const [update_id, taken] of Map.groupBy(reverted, (each) => each.update_id)) {
    const issue = await queries.issueOf(tx, update_id);
    if (issue === undefined) continue;
    const update = { update_id, vin };
    const all = laterOf(update, issue, await queries.factsOf(tx, update), now);
    const ecus = all.ecus.filter(({ ecu_id }) => taken.some((each) => each.ecu_id === ecu_id));
    const record: RevertedRecord = { ...all, kind: "reverted", ecus };
    await insert(tx, record);
  }
}

type UpdateOf = Pick<UpdateMoved, "update_id" | "vin">;

/** What the newest VCI shows of an update that is in the register. */
function laterOf(
  update: UpdateOf,
  { record_id, hash, record: issued }: queries.Issue,
  { vci }: queries.Facts,
  now: Date,
): Omit<RevertedRecord, "kind"> {
  const versions = new Map(vci?.ecus.map((ecu) => [ecu.ecu_id, ecu.software_version]));
  const ecus = issued.ecus.map((ecu) => {
    const version = versions.get(ecu.ecu_id) ?? null;
    const rxswin =
      version === ecu.to_version
        ? ecu.rxswin_after
        : version === ecu.from_version
          ? ecu.rxswin_before
          : null;
    return { ecu_id: ecu.ecu_id, version, rxswin };
  });
  return {
    ...headOf(update, issued.rxswins, now),
    issued: { record_id, hash },
    vci: vci && vci.proof,
    ecus,
  };
}

function headOf({ update_id, vin }: UpdateOf, rxswins: string[], now: Date) {
  return { record_id: randomUUIDv7(), update_id, vin, at: now.toISOString(), rxswins };
}

function rxswinsOf(all: readonly (string | null)[]): string[] {
  return [...new Set(all.filter((each) => each !== null))].sort();
}

function asEcu(
  {
    requires,
    hardware_versions,
    min_current_version,
    channel,
    availability,
    ...ecu
  }: RegulatedTarget,
  after: readonly { ecu_id: string; ecu_type: string; software_version: string }[],
): IssuedRecord["ecus"][number] {
  const met = requires.map(({ ecu_type, min_version }) => ({
    ecu_type,
    min_version,
    met_by: after
      .filter((each) => each.ecu_type === ecu_type)
      .map(({ ecu_id, software_version }) => ({ ecu_id, version: software_version })),
  }));
  return {
    ...ecu,
    compatibility: { hardware_versions, min_current_version, channel, availability, requires: met },
  };
}

async function insert(tx: Tx, record: RegisterRecord): Promise<void> {
  // As the database gives it back, so that the hash holds.
  const kept = JSON.parse(JSON.stringify(record)) as RegisterRecord;
  await queries.insertRecord(tx, kept, registerHash(kept));
}

/** So many hashes are one entry of the audit log. */
const AT_ONCE = 500;

/**
 * Enters hashes of records in the audit log. Apart from the transactions that write the records:
 * whoever appends keeps all others waiting, and so would every vehicle of a campaign.
 * @returns how many
 */
export async function enterRecords(db: Db, now: Date): Promise<number> {
  let entered = 0;
  for (;;) {
    const count = await db.transaction().execute(async (tx) => {
      const records = await queries.lockUnentered(tx, AT_ONCE);
      if (records.length === 0) return 0;
      await appendEntry(
        tx,
        { actor: "gateway", action: REGISTER_ENTERED, detail: { records } },
        now,
      );
      const { seq } = await auditHead(tx);
      const ids = records.map(({ record_id }) => record_id);
      await queries.markEntered(tx, ids, seq);
      return records.length;
    });
    entered += count;
    if (count < AT_ONCE) return entered;
  }
}
