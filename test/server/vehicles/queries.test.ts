import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { removeVehicle } from "#server/vehicles/leaving.ts";
import {
  markOffline,
  noteSightings,
  registerVehicle,
  saveHeartbeats,
  vehicleByVin,
} from "#server/vehicles/queries.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";

let own: OwnDatabase;
const vins = Array.from({ length: 400 }, (_, i) => `VMG-${String(i).padStart(4, "0")}`);
const ts = "2026-05-04T10:00:00Z";

beforeAll(async () => {
  own = await ownDatabase();
  for (const vin of vins) await registerVehicle(own.db, { vin });
});
afterAll(() => own.remove());

describe("statements over many vehicles", () => {
  it("don't lock each other out, whatever order each has them in", async () => {
    const shuffled = [...vins.slice(200), ...vins.slice(0, 200)].reverse();
    const rounds = Array.from({ length: 25 }, () => [
      noteSightings(
        own.db,
        vins.map((vin) => ({ vin, at: new Date() })),
      ),
      saveHeartbeats(
        own.db,
        shuffled.map((vin) => ({ vin, heartbeat: { ts, state: "idle" } })),
      ),
      noteSightings(
        own.db,
        shuffled.slice(50, 300).map((vin) => ({ vin, at: new Date() })),
      ),
      saveHeartbeats(
        own.db,
        vins.slice(20, 350).map((vin) => ({ vin, heartbeat: { ts, state: "busy" } })),
      ),
      markOffline(own.db, new Date(0)),
    ]).flat();
    const failed = (await Promise.allSettled<unknown>(rounds)).filter(
      ({ status }) => status === "rejected",
    );
    expect(failed).toEqual([]);
  });

  it("keep the newest of several heartbeats of one vehicle", async () => {
    const beat = (state: string) => ({ vin: "VMG-0001", heartbeat: { ts, state } });
    await saveHeartbeats(own.db, [beat("first"), beat("last")]);
    const row = await own.db
      .selectFrom("vehicle")
      .select("heartbeat")
      .where("vin", "=", "VMG-0001")
      .executeTakeFirstOrThrow();
    expect(row.heartbeat?.state).toBe("last");
  });

  it("ignore vehicles that are not registered, and take nothing at all", async () => {
    await noteSightings(own.db, [{ vin: "VMG-STRANGE", at: new Date() }]);
    await saveHeartbeats(own.db, [{ vin: "VMG-STRANGE", heartbeat: { ts, state: "idle" } }]);
    await noteSightings(own.db, []);
    expect(await vehicleByVin(own.db, "VMG-STRANGE")).toBeUndefined();
  });

  it("never put a sighting back, and keep the connection that is known", async () => {
    const [vin] = vins as [string];
    const at = new Date(Date.now() + 60_000);
    const connection = {
      at: ts,
      via: "mqtt" as const,
      group: "X25519MLKEM768",
      peer_key_type: "ecdsa-p256",
      profile: 2,
    };
    await noteSightings(own.db, [{ vin, at, connection }]);
    await noteSightings(own.db, [{ vin, at: new Date(0) }]);
    expect(await vehicleByVin(own.db, vin)).toMatchObject({
      last_seen_at: at.toISOString(),
      connection,
    });
  });
});

describe("a vehicle that comes and goes", () => {
  const vin = "VMG-COMING";
  const told = () =>
    own.db.selectFrom("event").select("kind").where("vin", "=", vin).orderBy("event_id").execute();

  it("is told of once each time", async () => {
    expect((await registerVehicle(own.db, { vin, model: "One" })).created).toBe(true);
    expect((await registerVehicle(own.db, { vin })).created).toBe(false);
    expect(await told()).toEqual([{ kind: "vehicle.registered" }]);
    await removeVehicle(own.db, vin);
    expect(await told()).toEqual([{ kind: "vehicle.registered" }, { kind: "vehicle.removed" }]);
    expect((await registerVehicle(own.db, { vin })).created).toBe(true);
  });

  it("is not forgotten by the director, whose versions only rise", async () => {
    const nothing = Buffer.alloc(0);
    const signed = { timestamp: nothing, snapshot: nothing, targets: nothing };
    await own.db
      .insertInto("director_issue")
      .values({ vin, version: 7, root_version: 1, expires_at: new Date(), ...signed })
      .execute();
    await removeVehicle(own.db, vin);
    const kept = await own.db
      .selectFrom("director_issue")
      .select("version")
      .where("vin", "=", vin)
      .execute();
    expect(kept).toEqual([{ version: 7 }]);
  });
});
