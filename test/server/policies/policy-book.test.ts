import { expect, it, onTestFinished } from "vitest";
import { loadServerConfig } from "#config/server.ts";
import { openPolicyBook } from "#server/policies/policy-book.ts";
import { saveVehiclePolicy } from "#server/policies/queries.ts";
import { targetVehicle } from "#server/targeting/vehicles.ts";
import { removeVehicle } from "#server/vehicles/leaving.ts";
import { registerVehicle } from "#server/vehicles/queries.ts";
import { ownDatabase, silentLog } from "#test/server/own-database.ts";

it("a vehicle's own policy is not that of one which comes with its VIN later", async () => {
  const own = await ownDatabase();
  onTestFinished(() => own.remove());
  const { db } = own;
  const defaults = loadServerConfig({}).policies.default;
  const book = await openPolicyBook({ db, defaults, everyMs: undefined, log: silentLog });
  onTestFinished(() => book.stop());
  const vin = "VMG-001";
  const now = async () => {
    await book.refresh();
    const vehicle = await targetVehicle(db, vin);
    return vehicle && book.policyFor(vehicle);
  };
  const set = () =>
    db.transaction().execute((tx) => saveVehiclePolicy(tx, vin, { mode: "manual" }, "alice"));

  await registerVehicle(db, { vin });
  await set();
  expect(await now()).toMatchObject({ source: "vehicle", mode: "manual" });
  await removeVehicle(db, vin);
  await registerVehicle(db, { vin });
  expect(await now()).toMatchObject({ source: "default", mode: "auto" });
  await set();
  expect(await now()).toMatchObject({ source: "vehicle", mode: "manual" });
});
