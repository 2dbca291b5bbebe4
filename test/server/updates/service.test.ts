import { randomUUIDv7 } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openDiskStore } from "#server/blobs/disk-store.ts";
import { createAssembler } from "#server/packages/assemble.ts";
import { createMetrics } from "#server/runtime/metrics.ts";
import { trackState } from "#server/runtime/state.ts";
import { insertUpdate, silentUpdates, updateById, eventsOf } from "#server/updates/queries.ts";
import {
  cancelUpdate,
  endSilentUpdate,
  reportStatus,
  submitVci,
  type UpdateDeps,
} from "#server/updates/service.ts";
import { registerVehicle, vehicleByVin } from "#server/vehicles/queries.ts";
import { sampleVci } from "#test/helpers/fleet-data.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";

let own: OwnDatabase;
let deps: UpdateDeps;
let vin: string;
let update_id: string;
let counter = 0;

beforeAll(async () => {
  own = await ownDatabase();
  const blobs = await openDiskStore(join(own.folder, "blobs"));
  deps = {
    db: own.db,
    assembler: createAssembler({ db: own.db, blobs, signers: [] }),
    metrics: createMetrics(trackState()),
    ttlHours: 1,
  };
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
  const target = {
    ecu_id: "ECU_001",
    zone_id: "ZG-FRONT",
    from_version: "1.0.0",
    to_version: "1.2.3",
  };
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
    await endSilentUpdate(deps, vin, update_id, silent?.since ?? new Date(0));
    expect(await state()).toBe("installing");
    await report("failed");
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
