import { createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publish, sampleVci } from "#test/helpers/fleet-data.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";

describe("from a VCI to a package", () => {
  let gateway: TestGateway;
  let vehicle: Caller;
  const vin = "VMG-001";

  beforeAll(async () => {
    gateway = await startGateway();
    vehicle = await gateway.vehicle(vin);
    await publish(gateway.admin, { ecu_type: "brake", version: "1.2.3" });
    await publish(gateway.admin, {
      ecu_type: "lights",
      version: "2.0.0",
      image: randomBytes(9_000_000),
    });
  });
  afterAll(() => gateway.close());

  it("answers a registration, once with 201 and then with 200", async () => {
    const first = await vehicle.send("POST", "/api/v1/vehicles/register", {
      body: { vin, model: "sedan" },
    });
    expect(first.status).toBe(201);
    expect(first.json).toMatchObject({ vin, model: "sedan", channel: "stable" });
    const again = await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
    expect(again.status).toBe(200);
    expect(again.json.model).toBe("sedan");
  });

  it("answers a VCI with what is outdated, and keeps its history", async () => {
    const answer = await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
    expect(answer.status).toBe(200);
    expect(answer.json.outdated_ecus).toMatchObject([
      { ecu_id: "ECU_001", zone_id: "ZG-FRONT", current_version: "1.0.0", target_version: "1.2.3" },
      { ecu_id: "ECU_003", zone_id: "ZG-REAR", current_version: "1.0.0", target_version: "2.0.0" },
    ]);
    expect(answer.json.blocked).toMatchObject([
      { ecu_id: "ECU_002", reason: "NO_FIRMWARE_FOR_TYPE" },
    ]);
    await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
    const history = await gateway.admin.send("GET", `/api/v1/vehicles/${vin}/vci`);
    expect(history.json.items).toHaveLength(2);
  });

  it("checks a version list without storing it", async () => {
    const body = { vin, ecus: sampleVci({ ECU_001: "1.2.3" }).ecus };
    const answer = await vehicle.send("POST", "/api/v1/ota/check", { body });
    expect(answer.json.outdated_ecus).toMatchObject([{ ecu_id: "ECU_003" }]);
    const history = await gateway.admin.send("GET", `/api/v1/vehicles/${vin}/vci`);
    expect(history.json.items).toHaveLength(2);
  });

  it("assembles a package once and streams it whole and in parts", async () => {
    const asked = await vehicle.send("POST", "/api/v1/ota/package", { body: { vin } });
    expect(asked.status).toBe(200);
    const again = await vehicle.send("POST", "/api/v1/ota/package", { body: { vin } });
    expect(again.json.update_id).toBe(asked.json.update_id);

    const { download_url, size, checksum } = asked.json;
    const whole = await vehicle.send("GET", download_url);
    expect(whole.status).toBe(200);
    expect(whole.bytes).toHaveLength(size);
    expect(`sha256:${createHash("sha256").update(whole.bytes).digest("hex")}`).toBe(checksum);

    const head = await vehicle.send("HEAD", download_url);
    expect(head.headers).toMatchObject({
      "content-length": String(size),
      "accept-ranges": "bytes",
    });
    const etag = String(head.headers["etag"]);

    const part = await vehicle.send("GET", download_url, {
      headers: { range: "bytes=100-5000099", "if-range": etag },
    });
    expect(part.status).toBe(206);
    expect(part.headers["content-range"]).toBe(`bytes 100-5000099/${size}`);
    expect(part.bytes.equals(whole.bytes.subarray(100, 5_000_100))).toBe(true);

    const stale = await vehicle.send("GET", download_url, {
      headers: { range: "bytes=100-", "if-range": '"other"' },
    });
    expect(stale.status).toBe(200);
    const beyond = await vehicle.send("GET", download_url, {
      headers: { range: `bytes=${size}-` },
    });
    expect(beyond.status).toBe(416);
    expect(beyond.headers["content-range"]).toBe(`bytes */${size}`);
    const unchanged = await vehicle.send("GET", download_url, {
      headers: { "if-none-match": etag },
    });
    expect(unchanged.status).toBe(304);

    const [zone] = asked.json.zones;
    const zonePart = await vehicle.send("GET", download_url, {
      headers: { range: `bytes=${zone.offset}-${zone.offset + zone.length - 1}` },
    });
    expect(zonePart.bytes.subarray(0, 14).toString()).toBe(`zones/${zone.zone_id}`.slice(0, 14));
  });

  it("shares the package with every vehicle that has the same plan, and with no other", async () => {
    const twin = await gateway.vehicle("VMG-002");
    await twin.send("POST", "/api/v1/vehicles/register", { body: { vin: "VMG-002" } });
    await twin.send("POST", "/api/v1/vehicles/VMG-002/vci", { body: sampleVci() });
    const mine = await vehicle.send("POST", "/api/v1/ota/package", { body: { vin } });
    const before = await twin.send("GET", mine.json.download_url);
    expect(before.status).toBe(403);
    expect(before.json.code).toBe("PACKAGE_NOT_ASSIGNED");
    const theirs = await twin.send("POST", "/api/v1/ota/package", { body: { vin: "VMG-002" } });
    expect(theirs.json.package_id).toBe(mine.json.package_id);
    expect(theirs.json.update_id).not.toBe(mine.json.update_id);
    expect((await twin.send("GET", mine.json.download_url)).status).toBe(200);
  });

  it("follows the update by its reports, and takes only a VCI for success", async () => {
    const { update_id } = (await vehicle.send("POST", "/api/v1/ota/package", { body: { vin } }))
      .json;
    const report = (status: string, progress: number) =>
      vehicle.send("POST", "/api/v1/ota/status", {
        body: { update_id, status, progress, ts: new Date().toISOString() },
      });
    const state = async () =>
      (await gateway.admin.send("GET", `/api/v1/updates/${update_id}`)).json;
    expect((await report("downloading", 10)).status).toBe(204);
    await report("verifying", 40);
    await report("installing", 50);
    await report("downloading", 20);
    expect(await state()).toMatchObject({ status: "installing", progress: 50 });
    expect((await state()).events.map((event: { applied: boolean }) => event.applied)).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect((await gateway.admin.send("GET", `/api/v1/vehicles/${vin}`)).json.status).toBe(
      "updating",
    );

    await report("restarting", 90);
    await report("completed", 100);
    expect(await state()).toMatchObject({ status: "health_check", completed_at: null });
    const vci = sampleVci({ ECU_001: "1.2.3", ECU_003: "2.0.0" });
    await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, {
      body: { ...vci, reason: "after_update" },
    });
    expect(await state()).toMatchObject({ status: "success", progress: 100 });
    expect((await gateway.admin.send("GET", `/api/v1/vehicles/${vin}`)).json.status).toBe("online");

    const nothing = await vehicle.send("POST", "/api/v1/ota/package", { body: { vin } });
    expect(nothing.status).toBe(409);
    expect(nothing.json.code).toBe("PACKAGE_NOTHING_OUTDATED");
  });

  it("does not believe a completion that the VCI contradicts", async () => {
    const other = await gateway.vehicle("VMG-003");
    await other.send("POST", "/api/v1/vehicles/register", { body: { vin: "VMG-003" } });
    await other.send("POST", "/api/v1/vehicles/VMG-003/vci", { body: sampleVci() });
    const { update_id } = (
      await other.send("POST", "/api/v1/ota/package", { body: { vin: "VMG-003" } })
    ).json;
    await other.send("POST", "/api/v1/ota/status", {
      body: { update_id, status: "completed", progress: 100, ts: new Date().toISOString() },
    });
    await other.send("POST", "/api/v1/vehicles/VMG-003/vci", {
      body: sampleVci({ ECU_001: "1.2.3" }),
    });
    const update = await gateway.admin.send("GET", `/api/v1/updates/${update_id}`);
    expect(update.json).toMatchObject({ status: "failed", error: { code: "UPDATE_CONTRADICTED" } });
  });
});
