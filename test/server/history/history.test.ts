import { randomUUIDv7 } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AuditEntry } from "#protocol/api/audit.ts";
import { registerHash } from "#protocol/api/register.ts";
import { entriesAfter } from "#server/audit/queries.ts";
import { insertFirmware } from "#server/firmware/queries.ts";
import { listHistory, listLogs, type HistoryFilter } from "#server/history/queries.ts";
import { createHistory } from "#server/history/recording.ts";
import { enterRecords } from "#server/history/register.ts";
import { listRecords } from "#server/history/register-queries.ts";
import { addToStatistics, countHistory } from "#server/history/statistics-queries.ts";
import { summarize } from "#server/history/statistics.ts";
import type { Log } from "#server/runtime/log.ts";
import { cancelUpdate, reportStatus, submitVci, type UpdateDeps } from "#server/updates/service.ts";
import { begin } from "#server/updates/transition.ts";
import type { Target } from "#server/updates/update.ts";
import { registerVehicle } from "#server/vehicles/queries.ts";
import { sampleTarget, sampleVci } from "#test/helpers/fleet-data.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";
import { updateDeps } from "#test/server/updates/update-deps.ts";

let own: OwnDatabase;
let deps: UpdateDeps & { log: Log };
let counter = 0;

beforeAll(async () => {
  own = await ownDatabase();
  deps = { ...(await updateDeps(own)), listeners: [createHistory()], log: silentLog };
  const file = { manifest: Buffer.from("manifest"), signatures: Buffer.of(1), size: 1 };
  await own.db
    .insertInto("package")
    .values({ package_id: "pkg-1", ...file, sha256: "0".repeat(64), zones: "[]" })
    .execute();
});
afterAll(() => own.remove());

async function newVehicle(): Promise<string> {
  const vin = `VMG-${++counter}`;
  await registerVehicle(own.db, { vin });
  await submitVci(deps, vin, sampleVci());
  return vin;
}

async function update(vin: string, targets: Target[]): Promise<string> {
  const update_id = randomUUIDv7();
  const made = {
    update_id,
    vin,
    package_id: "pkg-1",
    targets,
    campaign_id: null,
    deadline_min: 30,
  };
  await own.db.transaction().execute((tx) => begin(deps, tx, made));
  return update_id;
}

async function report(vin: string, update_id: string, status: string, ecu_id?: string) {
  const said = { update_id, ecu_id, status, progress: 50, ts: "2026-06-01T00:00:00Z" };
  await reportStatus(deps, vin, said as Parameters<typeof reportStatus>[2]);
}

/** An update of one ECU, to its end. */
async function updated(target: Target, end: "success" | "failed" | "rolled_back" | "cancelled") {
  const vin = await newVehicle();
  const id = await update(vin, [target]);
  if (end === "cancelled") await cancelUpdate(deps, vin, id);
  else {
    await report(vin, id, "installing", target.ecu_id);
    if (end === "success")
      await submitVci(deps, vin, sampleVci({ [target.ecu_id]: target.to_version }));
    else await report(vin, id, end);
  }
  return { vin, id };
}

const all = { after: undefined, limit: 100 };
const history = (filter: HistoryFilter) => listHistory(own.db, filter, all);

describe("the history of updates", () => {
  it("has each ECU of an update that has ended, and goes on by pages", async () => {
    const brake = sampleTarget();
    const lights = sampleTarget({ ecu_id: "ECU_003", zone_id: "ZG-REAR", ecu_type: "lights" });
    const vin = await newVehicle();
    const id = await update(vin, [brake, lights]);
    expect(await history({ vin })).toEqual([]);
    await report(vin, id, "installing", brake.ecu_id);
    await report(vin, id, "failed", brake.ecu_id);
    const rows = await history({ vin });
    expect(rows).toEqual([
      expect.objectContaining({ ...lights, update_id: id, status: "failed" }),
      expect.objectContaining({ ...brake, update_id: id, status: "failed" }),
    ]);
    expect(rows[0]?.started_at).not.toBeNull();
    const [first] = rows;
    const after = {
      at: Date.parse(first?.completed_at ?? ""),
      history_id: String(first?.history_id),
    };
    const rest = await listHistory(own.db, { vin }, { after, limit: 1 });
    expect(rest.map(({ ecu_id }) => ecu_id)).toEqual([brake.ecu_id]);
  });

  it("has what was taken back later, by the VCI that shows it", async () => {
    const first = sampleTarget();
    const { vin } = await updated(first, "success");
    const second = { ...first, from_version: first.to_version, to_version: "2.0.0" };
    await report(vin, await update(vin, [second]), "installing");
    const show = (version: string) => submitVci(deps, vin, sampleVci({ ECU_001: version }));
    const reverted = async () =>
      (await history({ vin, reverted: true })).map(({ to_version }) => to_version);
    await show("2.0.0");
    await show("2.0.0");
    expect(await reverted()).toEqual([]);
    await show("1.2.3");
    expect(await reverted()).toEqual(["2.0.0"]);
    const [last] = await history({ vin });
    expect(last).toMatchObject({ status: "success", reverted_at: expect.any(String) });
    await show("1.2.3");
    expect(await history({ vin })).toContainEqual(last);
    await show("1.0.0");
    expect(await reverted()).toEqual(["2.0.0", "1.2.3"]);
    expect((await history({ vin })).map(({ status }) => status)).toEqual(["success", "success"]);
  });

  it("has nothing taken back of an ECU that was replaced", async () => {
    const target = sampleTarget();
    const { vin } = await updated(target, "success");
    const { zones, ecus } = sampleVci();
    const replaced = ecus.map((ecu) => ({ ...ecu, hardware_version: "HW-2.0" }));
    await submitVci(deps, vin, { zones, ecus: replaced });
    expect(await history({ vin })).toMatchObject([{ reverted_at: null }]);
  });

  it("fits filters", async () => {
    const good = sampleTarget({ ecu_type: "filtered" });
    const bad = sampleTarget({ ecu_type: "filtered" });
    await updated(good, "success");
    await updated(bad, "rolled_back");
    const statuses = async (filter: HistoryFilter) =>
      (await history({ ecu_type: "filtered", ...filter })).map(({ status }) => status);
    expect(await statuses({})).toEqual(["rolled_back", "success"]);
    expect(await statuses({ firmware_id: good.firmware_id })).toEqual(["success"]);
    expect(await statuses({ status: "rolled_back" })).toEqual(["rolled_back"]);
    expect(await statuses({ from: new Date("2090-01-01T00:00:00Z") })).toEqual([]);
    expect(await statuses({ to: new Date("2020-01-01T00:00:00Z") })).toEqual([]);
  });
});

describe("logs", () => {
  it("have what vehicles have told, by vehicle, firmware, ECU and status", async () => {
    const target = sampleTarget();
    const { vin, id } = await updated(target, "failed");
    const of = async (filter: object) =>
      (await listLogs(own.db, { limit: 10, ...filter })).map(({ status }) => status);
    expect(await of({ vin })).toEqual(["failed", "installing"]);
    expect(await of({ firmware_id: target.firmware_id })).toEqual(["failed", "installing"]);
    expect(await of({ firmware_id: randomUUIDv7() })).toEqual([]);
    expect(await of({ update_id: id, ecu_id: target.ecu_id })).toEqual(["installing"]);
    expect(await of({ vin, status: "failed" })).toEqual(["failed"]);
    const [last] = await listLogs(own.db, { vin, limit: 1 });
    expect(await of({ vin, cursor: last?.log_id })).toEqual(["installing"]);
  });
});

describe("statistics", () => {
  it("are the same before and after maintenance has counted, which counts all once", async () => {
    const target = sampleTarget({ ecu_type: "counted" });
    const { firmware_id } = target;
    for (const end of ["success", "success", "failed", "cancelled"] as const) {
      await updated(target, end);
    }
    const days = { from: "2020-01-01", to: "2090-01-01", firmware_id };
    const numbers = async () => summarize(await countHistory(own.db, "firmware", days));
    const expected = [
      {
        key: firmware_id,
        total: 4,
        ...{ success: 2, failed: 1, rolled_back: 0, cancelled: 1, expired: 0 },
        success_rate: 2 / 3,
        failure_rate: 1 / 3,
        duration_s: { p50: 1, p95: 1 },
      },
    ];
    expect(await numbers()).toEqual(expected);
    const counted = async () => {
      await addToStatistics(own.db, 1000);
      const { rows } = await sql<{ count: number | null }>`
        select sum(ecus)::int as count from update_statistic
        where ecu_type = 'counted'`.execute(own.db);
      return rows[0]?.count;
    };
    // A transaction of somebody else that is under way keeps what came after it waiting.
    await expect.poll(counted).toBe(4);
    expect(await counted()).toBe(4);
    expect(await numbers()).toEqual(expected);
    await updated(target, "rolled_back");
    expect(await numbers()).toMatchObject([{ total: 5, rolled_back: 1, failure_rate: 0.5 }]);
    const byDay = summarize(await countHistory(own.db, "day", days));
    expect(byDay.map(({ total }) => total)).toEqual([5]);
    expect(await countHistory(own.db, "campaign", { ...days, to: "2020-01-02" })).toEqual([]);
  });

  it("tell durations by their quantiles", () => {
    const row = (bucket: number, count: number) => ({ key: "a", status: "success", bucket, count });
    const [{ duration_s } = { duration_s: null }] = summarize([
      row(40, 1),
      row(10, 90),
      row(30, 9),
    ]);
    expect(duration_s).toEqual({ p50: 6.19, p95: 237 });
    expect(summarize([{ ...row(-1, 3), status: "expired" }])).toMatchObject([
      { total: 3, success_rate: null, duration_s: null },
    ]);
  });
});

describe("the register", () => {
  async function regulated(version: string, rxswin: string, requires: object[] = []) {
    const firmware_id = randomUUIDv7();
    const image = { size: 1, sha256: "1".repeat(64), sha512: "2".repeat(128), compressed_size: 1 };
    await insertFirmware(
      own.db,
      {
        ...{ ecu_type: "brake", version, hardware_versions: ["HW-1.0"], channel: "stable" },
        ...{ critical: false, rxswin, min_current_version: "1.0.0" },
        requires: requires as [],
      },
      { ...image, firmware_id, compressed_sha256: "3".repeat(64), created_by: "t" },
    );
    return firmware_id;
  }

  const records = (vin: string) => listRecords(own.db, { vin }, { limit: 10, order: "asc" });

  async function audit(): Promise<AuditEntry[]> {
    return entriesAfter(own.db, { after: 0, limit: 1000 });
  }

  it("has why an update was issued, and what proved its end, and holds to the audit log", async () => {
    await regulated("1.0.0", "R79-A");
    const firmware_id = await regulated("2.0.0", "R79-B", [
      { ecu_type: "steering", min_version: "1.0.0" },
    ]);
    const { vin, id } = await updated(
      sampleTarget({ firmware_id, to_version: "2.0.0" }),
      "success",
    );
    const [issued, result] = await records(vin);
    expect(issued?.record).toMatchObject({
      kind: "issued",
      update_id: id,
      rxswins: ["R79-A", "R79-B"],
      channel: "stable",
      campaign: null,
      vci: { evidence: "unsigned" },
      package: {
        package_id: "pkg-1",
        manifest_sha256: "05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f",
      },
      ecus: [
        {
          from_version: "1.0.0",
          to_version: "2.0.0",
          rxswin_before: "R79-A",
          rxswin_after: "R79-B",
          compatibility: {
            hardware_versions: ["HW-1.0"],
            min_current_version: "1.0.0",
            requires: [{ ecu_type: "steering", met_by: [{ ecu_id: "ECU_002", version: "1.0.0" }] }],
          },
        },
      ],
    });
    expect(result?.record).toMatchObject({
      kind: "result",
      status: "success",
      issued: { hash: issued?.hash },
      ecus: [{ ecu_id: "ECU_001", version: "2.0.0", rxswin: "R79-B" }],
    });
    expect(issued?.audit_seq).toBeNull();
    expect(await enterRecords(own.db, new Date())).toBe(2);
    expect(await enterRecords(own.db, new Date())).toBe(0);

    const kept = await records(vin);
    const [seq] = kept.map(({ audit_seq }) => audit_seq);
    const entered = (await audit()).find((entry) => entry.seq === seq);
    expect(kept.map(({ hash }) => hash)).toEqual(kept.map(({ record }) => registerHash(record)));
    expect(entered).toMatchObject({
      action: "register.entered",
      detail: { records: kept.map(({ record, hash }) => ({ record_id: record.record_id, hash })) },
    });
  });

  it("has what was taken back after its success, and the VCI that shows it, once", async () => {
    await regulated("3.0.0", "R13-A");
    const firmware_id = await regulated("4.0.0", "R13-B");
    const rear = { ecu_id: "ECU_003", zone_id: "ZG-REAR" };
    const target = sampleTarget({ firmware_id, from_version: "3.0.0", to_version: "4.0.0" });
    const vin = await newVehicle();
    const id = await update(vin, [target, { ...target, ...rear }]);
    const show = (front: string, back: string) =>
      submitVci(deps, vin, sampleVci({ ECU_001: front, ECU_003: back }));
    await report(vin, id, "installing", target.ecu_id);
    for (const [front, back] of [
      ["4.0.0", "4.0.0"],
      ["3.0.0", "4.0.0"],
      ["3.0.0", "4.0.0"],
      ["3.0.0", "3.0.0"],
    ] as const) {
      await show(front, back);
    }
    const [issued, result, ...reverted] = await records(vin);
    expect(result?.record).toMatchObject({ kind: "result", status: "success" });
    const about = {
      ...{ kind: "reverted", update_id: id, rxswins: ["R13-A", "R13-B"] },
      ...{ issued: { hash: issued?.hash }, vci: { evidence: "unsigned" } },
    };
    const goneBack = (ecu_id: string) => [{ ecu_id, version: "3.0.0", rxswin: "R13-A" }];
    expect(reverted.map(({ record }) => record)).toMatchObject([
      { ...about, ecus: goneBack("ECU_001") },
      { ...about, ecus: goneBack("ECU_003") },
    ]);
    const vcis = new Set((await records(vin)).map(({ record }) => record.vci?.vci_id));
    expect(vcis.size).toBe(4);
  });

  it("takes no change, and has nothing of software without an RxSWIN", async () => {
    const { vin } = await updated(sampleTarget({ from_version: "0.9.0" }), "success");
    expect(await records(vin)).toEqual([]);
    for (const change of [
      sql`update register_record set vin = 'X'`,
      sql`update register_record set audit_seq = 1`,
      sql`delete from register_record`,
      sql`truncate register_record`,
    ]) {
      await expect(change.execute(own.db)).rejects.toThrow("records of the register are final");
    }
  });
});
