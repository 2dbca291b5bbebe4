import { sql } from "kysely";
import pino from "pino";
import { afterAll, beforeAll, expect, it } from "vitest";
import { maintain, type MaintenanceDeps } from "#server/maintenance/maintenance.ts";
import { registerVehicle } from "#server/vehicles/queries.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";
import { maintenanceDeps } from "./maintenance-deps.ts";

const DAY = 24 * 3_600_000;

let own: OwnDatabase;
let deps: MaintenanceDeps;
const logged: Record<string, unknown>[] = [];

beforeAll(async () => {
  own = await ownDatabase();
  const log = pino({}, { write: (line) => logged.push(JSON.parse(line) as (typeof logged)[0]) });
  deps = { ...(await maintenanceDeps(own)), log };
});
afterAll(() => own.remove());

const failures = () => logged.filter(({ level }) => level === 50);

it("ends the updates of other vehicles when those that are due first can't be ended", async () => {
  await sql`
    insert into package (package_id, manifest, signatures, size, sha256, zones)
    values ('pkg-1', '\x01', '\x01', 1, '0', '[]')
  `.execute(own.db);
  await sql`
    with many as (
      insert into vehicle (vin)
      select case when n <= 100 then 'BAD-' else 'GOOD-' end || n from generate_series(1, 103) n
      returning vin
    )
    insert into vehicle_update (update_id, vin, package_id, status, targets, deadline_at)
    select gen_random_uuid(), vin, 'pkg-1', 'installing', '[]',
      now() - case when vin like 'BAD-%' then interval '2 min' else interval '1 min' end
    from many
  `.execute(own.db);
  await sql`
    create function spoiled() returns trigger language plpgsql as
      $$ begin raise exception 'spoiled'; end $$
  `.execute(own.db);
  await sql`
    create trigger spoiled before update on vehicle_update for each row
    when (new.vin like 'BAD-%') execute function spoiled()
  `.execute(own.db);
  expect(await maintain(deps, new Date())).toMatchObject({ updatesEnded: 3 });
  expect(failures()).toHaveLength(100);
  expect(failures()[0]).toMatchObject({
    work: "updates",
    vehicle: expect.stringMatching(/^BAD-/) as string,
    update_id: expect.any(String) as string,
  });
  await sql`delete from vehicle_update`.execute(own.db);
});

it("does every other kind of work when some fail", async () => {
  await registerVehicle(own.db, { vin: "VMG-001" });
  await sql`
    insert into telemetry (vin, ts, signals) values ('VMG-001', now(), '{}')
  `.execute(own.db);
  await sql`alter table vehicle_update rename to updates_away`.execute(own.db);
  await sql`alter table command rename to commands_away`.execute(own.db);
  const gone = async () => Promise.reject(new Error("gone"));
  logged.length = 0;
  const done = await maintain(
    { ...deps, renewTrust: gone, campaigns: { maintain: gone } },
    new Date(Date.now() + 1000 * DAY),
  );
  expect(done).toMatchObject({ updatesEnded: 0, campaignsMoved: 0, commandsExpired: 0 });
  expect(done.offline).toContain("VMG-001");
  expect(done.rowsTrimmed).toBeGreaterThan(0);
  expect(failures().map(({ work }) => work)).toEqual([
    "updates",
    "trust",
    "campaigns",
    "commands",
    "trimming update_event",
    "trimming command",
  ]);
});
