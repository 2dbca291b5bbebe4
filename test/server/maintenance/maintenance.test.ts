import { randomUUIDv7 } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { insertCommand, moveCommand } from "#server/commands/queries.ts";
import { finishRequest, insertRequest } from "#server/diagnostics/queries.ts";
import { maintain, type MaintenanceDeps } from "#server/maintenance/maintenance.ts";
import { trim, trimmed } from "#server/maintenance/queries.ts";
import { insertUpdate, updateById } from "#server/updates/queries.ts";
import { reportStatus, submitVci } from "#server/updates/service.ts";
import { noteSightings, registerVehicle, vehicleByVin } from "#server/vehicles/queries.ts";
import { newRequest } from "#test/helpers/diagnostic-request.ts";
import { sampleTarget, sampleVci } from "#test/helpers/fleet-data.ts";
import { maintenanceDeps } from "./maintenance-deps.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

let own: OwnDatabase;
let deps: MaintenanceDeps;
let vin: string;
let counter = 0;

beforeAll(async () => {
  own = await ownDatabase();
  deps = await maintenanceDeps(own);
  await own.db
    .insertInto("package")
    .values({
      package_id: "pkg-1",
      manifest: Buffer.of(1),
      signatures: Buffer.of(1),
      size: 1,
      sha256: "0",
      zones: "[]",
    })
    .execute();
});
afterAll(() => own.remove());
beforeEach(async () => {
  for (const table of ["telemetry", "anomaly", "vehicle"])
    await sql`delete from ${sql.table(table)}`.execute(own.db);
  vin = `VMG-${++counter}`;
  await registerVehicle(own.db, { vin });
});

/** A round as it would go at a later time. */
const later = (ms: number) => maintain(deps, new Date(Date.now() + ms));
const status = async () => (await vehicleByVin(own.db, vin))?.status;
const count = async (table: string) => {
  const { rows } = await sql<{
    n: number;
  }>`select count(*)::int as n from ${sql.table(table)}`.execute(own.db);
  return rows[0]?.n;
};

async function openUpdate(): Promise<string> {
  const update_id = randomUUIDv7();
  const targets = [sampleTarget({ to_version: "2.0.0" })];
  await own.db
    .transaction()
    .execute((tx) => insertUpdate(tx, { update_id, vin, package_id: "pkg-1", targets }));
  return update_id;
}

describe("a vehicle", () => {
  it("that is silent goes offline, and comes back online when it is heard of", async () => {
    await noteSightings(own.db, [{ vin, at: new Date() }]);
    expect((await later(119_000)).offline).toEqual([]);
    expect((await later(121_000)).offline).toEqual([vin]);
    expect(await status()).toBe("offline");
    expect((await later(122_000)).offline).toEqual([]);
    const told = own.db.selectFrom("event").select("vin").where("kind", "=", "vehicle.offline");
    expect(await told.execute()).toEqual([{ vin }]);
    await noteSightings(own.db, [{ vin, at: new Date() }]);
    expect(await status()).toBe("online");
  });

  it("that only ever registered goes offline too", async () => {
    expect((await later(HOUR)).offline).toEqual([vin]);
  });

  it("that falls silent while it updates goes offline, and comes back to its update", async () => {
    const update_id = await openUpdate();
    await reportStatus(deps.updates, vin, {
      update_id,
      status: "installing",
      progress: 1,
      ts: "2026-05-04T10:00:00Z",
    });
    expect((await later(119_000)).offline).toEqual([]);
    expect(await status()).toBe("updating");
    expect((await later(29 * MINUTE)).offline).toEqual([vin]);
    await noteSightings(own.db, [{ vin, at: new Date() }]);
    expect(await status()).toBe("updating");
    await later(31 * MINUTE);
    expect(await updateById(own.db, update_id)).toMatchObject({ status: "failed" });
    expect(await status()).toBe("offline");
    await noteSightings(own.db, [{ vin, at: new Date() }]);
    expect(await status()).toBe("online");
  });
});

describe("an update", () => {
  const report = (update_id: string, step: "downloading" | "deferred") =>
    reportStatus(deps.updates, vin, {
      update_id,
      status: step,
      progress: 1,
      ts: "2026-05-04T10:00:00Z",
    });

  it("ends when its proof is overdue, however many are at once", async () => {
    await sql`
      with many as (
        insert into vehicle (vin) select 'MANY-' || n from generate_series(1, 120) n returning vin
      )
      insert into vehicle_update (
        update_id, vin, package_id, status, targets, deadline_at, last_report_at
      )
      select gen_random_uuid(), vin, 'pkg-1', 'installing', '[]', now() + interval '30 min',
        now() + interval '20 min'
      from many
    `.execute(own.db);
    expect((await later(29 * MINUTE)).updatesEnded).toBe(0);
    expect((await later(31 * MINUTE)).updatesEnded).toBe(120);
    const errors = own.db.selectFrom("vehicle_update").select("error").distinct();
    const found = await errors.where("vin", "like", "MANY-%").execute();
    expect(found.map(({ error }) => error?.code)).toEqual(["UPDATE_DEADLINE"]);
  });

  it("under way and silent has failed, and says so", async () => {
    const update_id = await openUpdate();
    await report(update_id, "downloading");
    expect((await later(29 * MINUTE)).updatesEnded).toBe(0);
    expect((await later(31 * MINUTE)).updatesEnded).toBe(1);
    expect(await updateById(own.db, update_id)).toMatchObject({
      status: "failed",
      error: { code: "UPDATE_SILENT" },
      completed_at: expect.any(String) as string,
    });
    expect((await later(32 * MINUTE)).updatesEnded).toBe(0);
  });

  it.each(["pending", "deferred"])(
    "%s waits as long as its package, then expires",
    async (state) => {
      const update_id = await openUpdate();
      if (state === "deferred") await report(update_id, "deferred");
      expect((await later(167 * HOUR)).updatesEnded).toBe(0);
      expect((await later(169 * HOUR)).updatesEnded).toBe(1);
      expect(await updateById(own.db, update_id)).toMatchObject({ status: "expired" });
    },
  );

  it("one of more than a batch is ended in the next round where this one may not go on", async () => {
    for (let i = 0; i < 120; i++) {
      vin = `VMG-MANY-${i}`;
      await registerVehicle(own.db, { vin });
      await openUpdate();
    }
    const short = await maintain(deps, new Date(Date.now() + 169 * HOUR), () => false);
    expect(short.updatesEnded).toBe(100);
    expect((await later(169 * HOUR)).updatesEnded).toBe(20);
  });

  it("that expires does not bring its vehicle online", async () => {
    await openUpdate();
    expect((await later(HOUR)).offline).toEqual([vin]);
    await later(169 * HOUR);
    expect(await status()).toBe("offline");
  });
});

describe("a command", () => {
  const insert = async (ms: number) => {
    const command_id = randomUUIDv7();
    const expires_at = new Date(Date.now() + ms);
    await insertCommand(own.db, {
      command_id,
      vin,
      command: "ota_status",
      params: undefined,
      issued_by: "t",
      expires_at,
    });
    return command_id;
  };
  const statusOf = async (id: string) =>
    (
      await own.db
        .selectFrom("command")
        .select("status")
        .where("command_id", "=", id)
        .executeTakeFirstOrThrow()
    ).status;

  it("expires when its time is over, whether it was sent or not, unless it has an outcome", async () => {
    const [queued, accepted, done, lasting] = [
      await insert(-1000),
      await insert(-1000),
      await insert(-1000),
      await insert(HOUR),
    ];
    await moveCommand(own.db, vin, accepted, "accepted");
    await moveCommand(own.db, vin, done, "completed");
    expect((await later(0)).commandsExpired).toBe(2);
    expect(await Promise.all([queued, accepted, done, lasting].map(statusOf))).toEqual([
      "expired",
      "expired",
      "completed",
      "queued",
    ]);
    expect(await moveCommand(own.db, vin, accepted, "completed")).toBe(true);
    expect(await moveCommand(own.db, vin, queued, "delivered")).toBe(false);
  });
});

describe("a diagnostic request", () => {
  const insert = async (timeout_ms: number) => {
    const request = newRequest({ vin, timeout_ms });
    await insertRequest(own.db, request, "sent");
    return request.request_id;
  };

  it("that nobody waits for any more expires; one that may still be answered does not", async () => {
    const old = await insert(1000);
    const young = await insert(60_000);
    await sql`update diagnostic_request set sent_at = now() - interval '7 seconds'`.execute(own.db);
    expect((await later(0)).requestsExpired).toBe(1);
    const rows = await own.db
      .selectFrom("diagnostic_request")
      .select(["request_id", "status"])
      .execute();
    // Ids of one millisecond have no order.
    expect(new Map(rows.map(({ request_id, status }) => [request_id, status]))).toEqual(
      new Map([
        [old, "expired"],
        [young, "sent"],
      ]),
    );
  });
});

describe("trimming", () => {
  it("knows every table that grows, and touches what is young in none of them", async () => {
    for (const table of Object.keys(trimmed) as (keyof typeof trimmed)[]) {
      await expect(trim(own.db, table, new Date(0), 10)).resolves.toBe(0);
    }
    const update_id = await openUpdate();
    await submitVci({ ...deps, ...deps.updates }, vin, sampleVci());
    await sql`insert into telemetry (vin, ts, signals) values (${vin}, now(), '{}')`.execute(
      own.db,
    );
    expect((await later(0)).rowsTrimmed).toBe(0);
    expect(await updateById(own.db, update_id)).toBeDefined();
  });

  it("goes in small batches, the rest in the next round", async () => {
    await sql`insert into telemetry (vin, ts, received_at, signals)
      select ${vin}, now(), now() - interval '40 days', '{}' from generate_series(1, 25)`.execute(
      own.db,
    );
    const before = new Date(Date.now() - 30 * DAY);
    expect(await trim(own.db, "telemetry", before, 10)).toBe(10);
    expect(await trim(own.db, "telemetry", before, 10)).toBe(10);
    expect(await trim(own.db, "telemetry", before, 10)).toBe(5);
    expect(await trim(own.db, "telemetry", before, 10)).toBe(0);
  });

  it("goes on batch after batch until nothing is left, or a round has taken long enough", async () => {
    await sql`insert into telemetry (vin, ts, received_at, signals)
      select ${vin}, now(), now() - interval '40 days', '{}' from generate_series(1, 20003)`.execute(
      own.db,
    );
    expect((await maintain(deps, new Date(), () => false)).rowsTrimmed).toBe(5000);
    expect((await later(0)).rowsTrimmed).toBe(15_003);
    expect((await later(0)).rowsTrimmed).toBe(0);
  });

  it("keeps the current VCI, however old, and drops those before it", async () => {
    for (let i = 0; i < 3; i++)
      await submitVci({ ...deps, ...deps.updates }, vin, sampleVci({ ECU_001: `1.0.${i}` }));
    await later(366 * DAY);
    const rows = await own.db
      .selectFrom("vci")
      .select(["current", "ecus"])
      .where("vin", "=", vin)
      .execute();
    expect(rows).toMatchObject([{ current: true, ecus: [{ software_version: "1.0.2" }, {}, {}] }]);
  });

  it("keeps what is open: updates with their reports, requests, commands", async () => {
    const update_id = await openUpdate();
    await reportStatus(deps.updates, vin, {
      update_id,
      status: "downloading",
      progress: 1,
      ts: "2026-05-04T10:00:00Z",
    });
    const request = { request_id: randomUUIDv7(), vin };
    await insertRequest(own.db, newRequest(request), "queued");
    const expires_at = new Date(Date.now() + 999 * DAY);
    const command = {
      command_id: randomUUIDv7(),
      vin,
      command: "ota_status" as const,
      params: undefined,
      issued_by: "t",
      expires_at,
    };
    await insertCommand(own.db, command);
    const far = new Date(Date.now() + 1000 * DAY);
    const tables = ["update_event", "diagnostic_request", "command"] as const;
    for (const table of tables)
      expect([table, await trim(own.db, table, far, 100)]).toEqual([table, 0]);

    await reportStatus(deps.updates, vin, {
      update_id,
      status: "failed",
      progress: 1,
      ts: "2026-05-04T10:00:00Z",
    });
    await finishRequest(own.db, request, { status: "completed", responses: [] });
    await moveCommand(own.db, vin, command.command_id, "completed");
    expect([
      await trim(own.db, "update_event", far, 100),
      await trim(own.db, "diagnostic_request", far, 100),
      await trim(own.db, "command", far, 100),
    ]).toEqual([2, 1, 1]);
    expect(await updateById(own.db, update_id)).toMatchObject({ status: "failed" });
  });

  it("of an assignment comes long after the download has expired", async () => {
    const assign = (expires_at: Date, package_id: string) =>
      own.db
        .insertInto("package_assignment")
        .values({ vin, package_id, sha256: "x", expires_at })
        .execute();
    await assign(new Date(Date.now() - HOUR), "pkg-1");
    await later(0);
    expect(await count("package_assignment")).toBe(1);
    await later(31 * DAY);
    expect(await count("package_assignment")).toBe(0);
  });

  it("of a package as it was signed before comes when nobody may download that any more", async () => {
    const expires_at = new Date(Date.now() + HOUR);
    const signatures = Buffer.from("{}");
    await own.db
      .insertInto("superseded_package")
      .values({ package_id: "pkg-1", sha256: "x", signatures, size: 1, expires_at })
      .execute();
    await later(30 * DAY);
    expect(await count("superseded_package")).toBe(1);
    await later(31 * DAY);
    expect(await count("superseded_package")).toBe(0);
  });
});
