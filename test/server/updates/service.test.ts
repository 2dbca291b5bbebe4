import { randomUUIDv7 } from "node:crypto";
import { join } from "node:path";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import type { BlobStore } from "#server/blobs/blob-store.ts";
import { openDiskStore } from "#server/blobs/disk-store.ts";
import { archiveFirmware, insertFirmware, setPublished } from "#server/firmware/queries.ts";
import type { Log } from "#server/runtime/log.ts";
import type { ReleaseBook } from "#server/firmware/release-book.ts";
import { requestPackage } from "#server/updates/issue.ts";
import type { UpdateListener } from "#server/updates/moved.ts";
import {
  eventsOf,
  insertUpdate,
  overdueUpdates,
  silentUpdates,
  updateById,
} from "#server/updates/queries.ts";
import {
  cancelUpdate,
  endOverdueUpdate,
  endSilentUpdate,
  reportStatus,
  submitVci,
  type UpdateDeps,
} from "#server/updates/service.ts";
import { markOffline, registerVehicle, vehicleByVin } from "#server/vehicles/queries.ts";
import { sampleTarget, sampleVci } from "#test/helpers/fleet-data.ts";
import { putBlob } from "#test/server/blobs/put-blob.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";
import { updateDeps } from "./update-deps.ts";

let own: OwnDatabase;
let blobs: BlobStore;
let deps: UpdateDeps & { log: Log };
let releases: ReleaseBook;
let vin: string;
let update_id: string;
let counter = 0;

beforeAll(async () => {
  own = await ownDatabase();
  blobs = await openDiskStore(join(own.folder, "blobs"));
  const updates = await updateDeps(own);
  ({ releases } = updates);
  deps = { ...updates, log: silentLog };
  await own.db
    .insertInto("package")
    .values({
      package_id: "pkg-1",
      manifest: Buffer.of(1),
      signatures: Buffer.of(1),
      size: 1,
      sha256: "0".repeat(64),
      zones: "[]",
    })
    .execute();
});
afterAll(() => own.remove());

beforeEach(begin);

/** A vehicle of its own with an update to carry out. */
async function begin(): Promise<void> {
  vin = `VMG-${++counter}`;
  update_id = randomUUIDv7();
  await registerVehicle(own.db, { vin });
  const target = sampleTarget();
  await own.db
    .transaction()
    .execute((tx) => insertUpdate(tx, { update_id, vin, package_id: "pkg-1", targets: [target] }));
}

const report = (status: "downloading" | "installing" | "completed" | "failed", progress = 10) =>
  reportStatus(deps, vin, { update_id, status, progress, ts: new Date().toISOString() });
const done = () => submitVci(deps, vin, sampleVci({ ECU_001: "1.2.3" }));
const state = async () => (await updateById(own.db, update_id))?.status;

describe("an update", () => {
  it("succeeds whichever of the completion and its VCI comes first, or when both come at once", async () => {
    for (const order of ["report first", "vci first", "both"]) {
      await begin();
      await report("installing");
      if (order === "report first") await report("completed").then(done);
      if (order === "vci first") await done().then(() => report("completed"));
      if (order === "both") await Promise.all([report("completed"), done()]);
      expect([order, await state()]).toEqual([order, "success"]);
    }
  });

  it("is not done by its completion alone, and fails when the VCI after it shows the old version", async () => {
    const still = () => submitVci(deps, vin, sampleVci({ ECU_001: "1.0.0" }));
    await still();
    await report("installing");
    await report("completed");
    expect(await state()).toBe("health_check");
    await still();
    const { status, error } = (await updateById(own.db, update_id)) ?? {};
    expect([status, error?.code]).toEqual(["failed", "UPDATE_CONTRADICTED"]);
  });

  it("takes reports and VCIs that come at once, none of them failing on the other", async () => {
    for (let round = 0; round < 15; round++) {
      await begin();
      await report("installing");
      const outcomes = await Promise.allSettled([
        report("completed"),
        done(),
        report("installing", 50),
        done(),
        report("completed"),
      ]);
      expect(outcomes.filter(({ status }) => status === "rejected")).toEqual([]);
      expect(await state()).toBe("success");
    }
    expect((await vehicleByVin(own.db, vin))?.status).toBe("online");
  });

  it("is not ended for silence by a look that a report has overtaken", async () => {
    await report("downloading");
    const [silent] = await silentUpdates(own.db, {
      silence: new Date(Date.now() + 60_000),
      untouched: new Date(0),
      limit: 100,
    });
    expect(silent?.update_id).toBe(update_id);
    await report("installing");
    const since = silent?.since ?? new Date(0);
    expect(await endSilentUpdate(deps, vin, update_id, since)).toBe(false);
    expect(await state()).toBe("installing");
    await report("failed");
  });

  it("fails when its installation is not proven in time, however much the vehicle tells", async () => {
    const ahead = (minutes: number) => new Date(Date.now() + minutes * 60_000);
    const isOverdue = async (now: Date) =>
      (await overdueUpdates(own.db, now, 100)).some((each) => each.update_id === update_id);
    await report("downloading");
    expect(await isOverdue(ahead(60))).toBe(false);
    await report("installing");
    await report("installing", 50);
    expect(await isOverdue(ahead(29))).toBe(false);
    expect(await endOverdueUpdate(deps, vin, update_id, ahead(29))).toBe(false);
    expect(await isOverdue(ahead(31))).toBe(true);
    expect(await endOverdueUpdate(deps, vin, update_id, ahead(31))).toBe(true);
    expect(await updateById(own.db, update_id)).toMatchObject({
      status: "failed",
      error: { code: "UPDATE_DEADLINE" },
    });
    expect(await isOverdue(ahead(31))).toBe(false);
    expect(await endOverdueUpdate(deps, vin, update_id, ahead(31))).toBe(false);
  });

  it("tells who counts on it of each step, in the transaction that takes it", async () => {
    const told: string[] = [];
    const listener: UpdateListener = {
      async moved(tx, { update_id, from, to, ecu_id, targets }) {
        const kept = await updateById(tx, update_id);
        told.push(`${from} ${to} ${kept?.status} ${ecu_id} ${targets.length}`);
        if (to === "verifying") throw new Error("not counted");
      },
      async reported(tx, vin, ecus) {
        told.push(`${vin} ${ecus.length} ${(await updateById(tx, update_id))?.status}`);
      },
    };
    deps = { ...deps, listeners: [listener] };
    onTestFinished(() => {
      deps = { ...deps, listeners: [] };
    });
    const send = (status: "downloading" | "verifying" | "installing", ecu_id?: string) =>
      reportStatus(deps, vin, {
        update_id,
        status,
        progress: 0,
        ts: new Date().toISOString(),
        ...(ecu_id && { ecu_id }),
      });
    await send("downloading");
    await send("downloading");
    await expect(send("verifying")).rejects.toThrow("not counted");
    expect(await state()).toBe("downloading");
    await send("installing", "ECU_001");
    await done();
    expect(told).toEqual([
      "pending downloading downloading null 1",
      "downloading verifying verifying null 1",
      "downloading installing installing ECU_001 1",
      "installing success success null 1",
      `${vin} 3 success`,
    ]);
    const events = await own.db
      .selectFrom("event")
      .select(["kind", "vin", "data"])
      .where("subject", "=", update_id)
      .orderBy("event_id")
      .execute();
    expect(events).toMatchObject([
      { kind: "update.started", vin, data: { status: "downloading", campaign_id: null } },
      { kind: "update.finished", vin, data: { status: "success", error: null } },
    ]);
  });

  it("leaves a vehicle that is offline so when it is ended without it, not when it reports", async () => {
    const status = async () => (await vehicleByVin(own.db, vin))?.status;
    const future = new Date(Date.now() + 60_000);
    await report("downloading");
    expect(await status()).toBe("updating");
    expect(await markOffline(own.db, future)).toContain(vin);
    await report("downloading", 20);
    expect(await status()).toBe("updating");
    await markOffline(own.db, future);
    await cancelUpdate(deps, vin, update_id);
    expect(await status()).toBe("offline");
    await done();
    expect(await status()).toBe("online");

    await begin();
    await report("downloading");
    await markOffline(own.db, future);
    await report("failed");
    expect(await status()).toBe("online");

    await begin();
    await report("downloading");
    await markOffline(own.db, future);
    expect(await endSilentUpdate(deps, vin, update_id, future)).toBe(true);
    expect(await status()).toBe("offline");
  });

  it("has started when the vehicle is at work on it, not when it waits or is ended before", async () => {
    const started = async () => (await updateById(own.db, update_id))?.started_at;
    await cancelUpdate(deps, vin, update_id);
    expect(await started()).toBeNull();
    await begin();
    await reportStatus(deps, vin, {
      update_id,
      status: "deferred",
      progress: 0,
      ts: new Date().toISOString(),
    });
    expect(await started()).toBeNull();
    await report("downloading");
    const first = await started();
    expect(first).toEqual(expect.any(String));
    await report("failed");
    expect(await started()).toBe(first);
  });

  it("can be cancelled until flash is written, and not after", async () => {
    await report("downloading");
    await cancelUpdate(deps, vin, update_id);
    expect(await state()).toBe("cancelled");
    await begin();
    await report("installing");
    await expect(cancelUpdate(deps, vin, update_id)).rejects.toMatchObject({
      code: "UPDATE_TRANSITION_REFUSED",
    });
    expect(await state()).toBe("installing");
  });

  it("never goes back in progress, and keeps every report, also the late ones", async () => {
    await report("installing", 60);
    await report("installing", 40);
    await report("downloading", 90);
    expect(await updateById(own.db, update_id)).toMatchObject({
      status: "installing",
      progress: 60,
    });
    expect((await eventsOf(own.db, update_id)).map(({ applied }) => applied)).toEqual([
      true,
      true,
      false,
    ]);
    await report("failed");
    await expect(report("completed")).resolves.toBeUndefined();
    expect(await state()).toBe("failed");
  });

  it("is not known to another vehicle", async () => {
    const ts = new Date().toISOString();
    await expect(
      reportStatus(deps, "VMG-OTHER", { update_id, status: "failed", progress: 0, ts }),
    ).rejects.toMatchObject({ code: "UPDATE_UNKNOWN" });
    expect(await eventsOf(own.db, update_id)).toEqual([]);
  });

  it("does not keep a report of an update that nobody has", async () => {
    update_id = randomUUIDv7();
    await expect(report("downloading")).rejects.toMatchObject({ code: "UPDATE_UNKNOWN" });
  });
});

describe("a package", () => {
  const firmware_id = randomUUIDv7();

  beforeAll(async () => {
    const { sha256, length } = await putBlob(blobs, Buffer.from("compressed"));
    await insertFirmware(
      own.db,
      {
        ecu_type: "brake",
        version: "1.2.3",
        hardware_versions: ["HW-1.0"],
        channel: "stable",
        critical: false,
      },
      {
        firmware_id,
        size: 10,
        sha256,
        sha512: "0".repeat(128),
        compressed_size: length,
        compressed_sha256: sha256,
        created_by: "t",
      },
    );
    await own.db.transaction().execute((tx) => setPublished(tx, [firmware_id]));
    await releases.refresh();
  });
  beforeEach(async () => {
    await cancelUpdate(deps, vin, update_id);
    await submitVci(deps, vin, sampleVci());
  });

  const lastReport = async (id: string) =>
    (
      await own.db
        .selectFrom("vehicle_update")
        .select("last_report_at")
        .where("update_id", "=", id)
        .executeTakeFirstOrThrow()
    ).last_report_at;

  it("asked for again is the same update, and keeps it waiting as long as a new one", async () => {
    const first = await requestPackage(deps, vin, undefined);
    update_id = first.update_id;
    const put = sql<Date>`now() - interval '3 days'`;
    const old = async () => {
      await own.db
        .updateTable("vehicle_update")
        .set({ last_report_at: put })
        .where("update_id", "=", update_id)
        .execute();
      return lastReport(update_id);
    };
    for (const step of ["pending", "deferred"] as const) {
      if (step === "deferred")
        await reportStatus(deps, vin, {
          update_id,
          status: step,
          progress: 0,
          ts: new Date().toISOString(),
        });
      const before = await old();
      expect((await requestPackage(deps, vin, undefined)).update_id).toBe(update_id);
      expect((await lastReport(update_id)).getTime()).toBeGreaterThan(before.getTime());
    }
    await report("downloading");
    const silentSince = await old();
    expect((await requestPackage(deps, vin, undefined)).update_id).toBe(update_id);
    expect(await lastReport(update_id)).toEqual(silentSince);
  });

  it("is planned again when another VCI comes while it is made", async () => {
    const overtakenBy = (vci: ReturnType<typeof sampleVci>) => {
      let overtaken = false;
      const assembler: UpdateDeps["assembler"] = {
        async packageOf(contents) {
          if (!overtaken) await submitVci(deps, vin, vci);
          overtaken = true;
          return deps.assembler.packageOf(contents);
        },
      };
      return requestPackage({ ...deps, assembler }, vin, undefined);
    };
    const { zones } = await overtakenBy(sampleVci({ ECU_001: "1.1.0" }));
    expect(zones.flatMap(({ ecus }) => ecus)).toMatchObject([{ current_version: "1.1.0" }]);
    await expect(overtakenBy(sampleVci({ ECU_001: "1.2.3" }))).rejects.toMatchObject({
      code: "PACKAGE_NOTHING_OUTDATED",
    });
  });

  it("is planned again when another gateway has archived what it was to hold", async () => {
    await own.db.transaction().execute((tx) => archiveFirmware(tx, firmware_id));
    expect(releases.current().byId.has(firmware_id)).toBe(true);
    await expect(requestPackage(deps, vin, undefined)).rejects.toMatchObject({
      code: "PACKAGE_NOTHING_OUTDATED",
    });
  });
});
