import { randomBytes } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { generateKeys } from "#crypto/key-algorithm.ts";
import type { CommandName } from "#protocol/mqtt/control.ts";
import { reportedStatuses, type OtaStatus } from "#protocol/mqtt/ota-status.ts";
import { keyRecord, trustKeys } from "#protocol/uptane/key.ts";
import { publish } from "#test/helpers/fleet-data.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { testVehicle, type TestVehicle } from "./test-vehicle.ts";

let gateway: TestGateway;

const types = {
  ECU_001: "brake-controller",
  ECU_002: "powertrain-controller",
  ECU_003: "battery-controller",
};
const old = { ECU_001: "1.0.0", ECU_002: "1.0.0", ECU_003: "1.0.0", ECU_004: "1.0.0" };
const updated = { ...old, ECU_001: "1.2.3", ECU_002: "1.2.3", ECU_003: "1.2.3" };

beforeAll(async () => {
  gateway = await startGateway();
  for (const ecu_type of Object.values(types)) {
    await publish(gateway.admin, { ecu_type, version: "1.2.3", image: randomBytes(700_000) });
  }
});
afterAll(() => gateway.close());

interface KnownUpdate {
  status: string;
  progress: number;
  error: { code: string } | null;
  completed_at: string | null;
}

/** The vehicle's update as the gateway knows it, once it has heard of its end. */
function ended(vin: string): Promise<KnownUpdate> {
  return vi.waitFor(
    async () => {
      const { json } = await gateway.admin.send("GET", `/api/v1/updates?vin=${vin}`);
      const [latest] = json.items as KnownUpdate[];
      if (!latest?.completed_at) throw new Error("the update has not ended yet");
      return latest;
    },
    { timeout: 60_000 },
  );
}

async function command(vehicle: TestVehicle, name: CommandName, params?: object) {
  const { json } = await gateway.admin.send("POST", `/api/v1/vehicles/${vehicle.vin}/commands`, {
    body: { command: name, ...(params && { params }) },
  });
  const { response } = await vehicle.event(
    "command_handled",
    (event) => event.command.command_id === json.command_id,
  );
  return response as { status: string; result: Record<string, unknown>; error?: { code: string } };
}

const reports = (vehicle: TestVehicle): OtaStatus[] =>
  vehicle.events.flatMap((event) => (event.type === "status_reported" ? [event.status] : []));

const phases = (vehicle: TestVehicle) => [...new Set(reports(vehicle).map(({ status }) => status))];

describe("update", () => {
  it("brings every outdated ECU to its new version, from the VCI to the VCI", async () => {
    const vehicle = await testVehicle(gateway, { vin: "VMG-101", autoUpdate: true });
    await vehicle.agent.started;
    expect(vehicle.versions()).toEqual(updated);
    expect(phases(vehicle)).toEqual(reportedStatuses.slice(0, 7));
    expect(reports(vehicle).at(-1)).toMatchObject({ status: "completed", progress: 100 });
    const progress = reports(vehicle).map((report) => report.progress);
    expect(progress.toSorted((a, b) => a - b)).toEqual(progress);
    expect(await ended("VMG-101")).toMatchObject({ status: "success", progress: 100 });
    const collected = vehicle.events.flatMap((event) =>
      event.type === "vci_collected" ? [event.vci.reason] : [],
    );
    expect(collected).toEqual(["power_on", "after_update"]);
    expect(vehicle.agent.updater.state).toBe("idle");
    expect(readdirSync(join(vehicle.folder, "vmg", "downloads"))).toEqual([]);
    expect(existsSync(join(vehicle.folder, "vmg", "update.json"))).toBe(false);
  });

  it("leaves at the gateway what its ECUs said before and after it, and the difference", async () => {
    const vehicle = await testVehicle(gateway, { vin: "VMG-111", autoUpdate: true });
    await vehicle.agent.started;
    const { json } = await gateway.admin.send("GET", "/api/v1/updates?vin=VMG-111");
    const path = `/api/v1/diagnostics/updates/${json.items[0].update_id}/diff`;
    await expect.poll(async () => (await gateway.admin.send("GET", path)).status).toBe(200);
    const { json: difference } = await gateway.admin.send("GET", path);
    const versions = difference.dids.filter(({ did }: { did: string }) => did === "0xF195");
    expect(versions).toMatchObject(
      Object.keys(types).map((ecu_id) => ({
        ecu_id,
        before: { value: "1.0.0" },
        after: { value: "1.2.3" },
      })),
    );
    expect(difference.ecus_missing).toEqual([]);
  });

  it("installs only what it, its zonal gateways and its ECUs have verified", async () => {
    const vehicle = await testVehicle(gateway, {
      vin: "VMG-110",
      autoUpdate: true,
      // The keys that sign packages are those that the director's root names.
      provisioning: (made) => ({ ...made, trustedKeys: new Map() }),
    });
    await vehicle.agent.started;
    const { assignments } = await vehicle.event("assignments_verified");
    expect(assignments.map(({ path }) => path).toSorted()).toEqual(
      Object.values(types)
        .map((type) => `${type}/1.2.3.bin`)
        .toSorted(),
    );
    const verified = vehicle.events.flatMap((event) =>
      event.type === "partially_verified" ? [event.by] : [],
    );
    expect(new Set(verified)).toEqual(
      new Set(["ZG-FRONT", "ZG-REAR", "ECU_001", "ECU_002", "ECU_003"]),
    );
    const sequence = vehicle.events.map(({ type }) => type);
    expect(sequence.indexOf("assignments_verified")).toBeLessThan(sequence.indexOf("downloaded"));
    const { json } = await gateway.admin.send("GET", "/api/v1/vehicles/VMG-110");
    expect(json.evidence).toBe("signed");
    expect(await ended("VMG-110")).toMatchObject({ status: "success" });
  });

  it("waits for a command when it is not to update by itself", async () => {
    const vehicle = await testVehicle(gateway, { vin: "VMG-102" });
    await vehicle.agent.started;
    expect(vehicle.versions()).toEqual(old);
    expect(await command(vehicle, "START_OTA_UPDATE", { ecu_ids: ["ECU_002"] })).toMatchObject({
      status: "completed",
      result: {
        action: "ota_update",
        status: "success",
        version: "1.2.3",
        previous_version: "1.0.0",
        versions: { ECU_002: "1.2.3" },
      },
    });
    expect(vehicle.versions()).toEqual({ ...old, ECU_002: "1.2.3" });

    const vci = await command(vehicle, "REQUEST_VCI");
    expect(vci.result["outdated"]).toEqual(["ECU_001", "ECU_003"]);
    const { result } = await command(vehicle, "ota_status");
    expect(result).toMatchObject({ state: "idle", last_update: { status: "completed" } });
  });

  it("goes back to the bank before on command, once", async () => {
    const vehicle = await testVehicle(gateway, { vin: "VMG-103", autoUpdate: true });
    await vehicle.agent.started;
    expect(await command(vehicle, "ota_rollback")).toMatchObject({
      status: "completed",
      result: {
        action: "ota_rollback",
        status: "success",
        version: "1.0.0",
        previous_version: "1.2.3",
      },
    });
    expect(vehicle.versions()).toEqual(old);
    expect(await command(vehicle, "ota_rollback")).toMatchObject({
      status: "failed",
      error: { code: "ROLLBACK_NOTHING" },
      result: {
        action: "ota_rollback",
        status: "failed",
        error: "no ECU runs what the last update installed",
        rolled_back: false,
        current_version: "1.0.0",
      },
    });
    const { json } = await gateway.admin.send("GET", "/api/v1/vehicles/VMG-103/vci");
    expect(
      json.items[0].ecus.map((ecu: { software_version: string }) => ecu.software_version),
    ).toEqual(Object.values(old));
    const path = "/api/v1/history/updates?vin=VMG-103&reverted=true";
    expect((await gateway.admin.send("GET", path)).json.items).toHaveLength(3);
  });

  it.each([
    ["a block can't be written", { ECU_003: { failAtBlock: 4 } }],
    ["an ECU restarts while it is written", { ECU_002: { resetAtBlock: 3 } }],
    ["an ECU is not healthy afterwards", { ECU_003: { unhealthyAfterUpdate: true } }],
  ])("takes every ECU back when %s", async (name, behaviours) => {
    const vin = `VMG-${name.length}X`;
    const vehicle = await testVehicle(gateway, { vin, behaviours, autoUpdate: true });
    await vehicle.agent.started;
    expect(vehicle.versions()).toEqual(old);
    expect(phases(vehicle).slice(-2)).toEqual(["rolling_back", "rolled_back"]);
    const { status, error } = await ended(vin);
    expect(status).toBe("rolled_back");
    expect(error?.code).toMatch(/^[A-Z_]+$/);
    const reverted = vehicle.events.filter(
      (event) => event.type === "ecu_progress" && event.step === "reverted",
    );
    expect(reverted.length).toBeGreaterThan(0);
  });

  it("takes every ECU back when the installation takes too long", async () => {
    const vin = "VMG-110";
    const behaviours = { ECU_003: { slowMs: 150 } };
    const config = { installation: { timeout_s: 1 } };
    const vehicle = await testVehicle(gateway, { vin, behaviours, config, autoUpdate: true });
    await vehicle.agent.started;
    expect(vehicle.versions()).toEqual(old);
    expect(phases(vehicle).slice(-2)).toEqual(["rolling_back", "rolled_back"]);
    expect(await ended(vin)).toMatchObject({
      status: "rolled_back",
      error: { code: "INSTALLATION_TIMEOUT" },
    });
  });

  it("tells of an ECU that could not be taken back, apart from what went wrong first", async () => {
    const vin = "VMG-112";
    const behaviours = { ECU_003: { unhealthyAfterUpdate: true } };
    const vehicle = await testVehicle(gateway, { vin, behaviours, autoUpdate: true });
    await vehicle.event("status_reported", ({ status }) => status.status === "rolling_back");
    const stuck = vehicle.hardware.zones
      .flatMap(({ ecus }) => ecus)
      .find(({ ecu_id }) => ecu_id === "ECU_003");
    stuck?.setBehaviour({ wrongAnswer: true });
    expect(await ended(vin)).toMatchObject({
      status: "failed",
      error: { code: "ROLLBACK_FAILED", message: expect.stringContaining("HEALTH_CHECK_FAILED") },
    });
    const path = `/api/v1/events?kind=update.finished&vin=${vin}`;
    expect((await gateway.admin.send("GET", path)).json.items).toMatchObject([
      { data: { status: "failed", error: { code: "ROLLBACK_FAILED" } } },
    ]);
  });

  it("goes on rolling back after a restart in the middle of it", async () => {
    const vin = "VMG-109";
    const behaviours = { ECU_003: { unhealthyAfterUpdate: true } };
    const vehicle = await testVehicle(gateway, { vin, behaviours, autoUpdate: true });
    await vehicle.event("status_reported", ({ status }) => status.status === "rolling_back");
    await vehicle.stop();
    const again = await testVehicle(gateway, { vin, stateDir: join(vehicle.folder, "..") });
    const { outcome } = await again.event("update_finished");
    expect(outcome).toBe("rolled_back");
    expect(again.versions()).toEqual(old);
    expect((await ended(vin)).error?.code).toBe("HEALTH_CHECK_FAILED");
  });

  it("answers a command whose update was rolled back with what became of it", async () => {
    const vehicle = await testVehicle(gateway, {
      vin: "VMG-104",
      behaviours: { ECU_001: { unhealthyAfterUpdate: true } },
    });
    await vehicle.agent.started;
    expect(await command(vehicle, "ota_update")).toMatchObject({
      status: "failed",
      error: { code: "HEALTH_CHECK_FAILED" },
      result: {
        action: "ota_update",
        status: "failed",
        error: expect.stringContaining("ECU_001"),
        rolled_back: true,
        current_version: "1.0.0",
        timestamp: expect.any(String),
      },
    });
  });

  it("touches no ECU when the package is signed by keys it does not trust", async () => {
    const strangers = (["ecdsa-p256", "ml-dsa-65"] as const).map((algorithm) =>
      keyRecord(generateKeys(algorithm).publicKey),
    );
    const vehicle = await testVehicle(gateway, {
      vin: "VMG-105",
      autoUpdate: true,
      provisioning: (made) => ({ ...made, roots: undefined, trustedKeys: trustKeys(strangers) }),
    });
    await vehicle.agent.started;
    expect(phases(vehicle)).toEqual(["downloading", "verifying", "failed"]);
    expect((await ended("VMG-105")).error?.code).toBe("PACKAGE_SIGNATURE_MISSING");
    expect(vehicle.events.some(({ type }) => type === "ecu_progress")).toBe(false);
    expect(vehicle.versions()).toEqual(old);
  });

  it("touches no ECU when one of them does not answer any more", async () => {
    const vehicle = await testVehicle(gateway, { vin: "VMG-106", autoUpdate: true });
    await vehicle.event("package_ready");
    vehicle.hardware.zones[1]?.ecus[0]?.setBehaviour({ silent: true });
    const { outcome, error } = await vehicle.event("update_finished");
    expect([outcome, error?.code]).toEqual(["failed", "UDS_TIMEOUT"]);
    expect(phases(vehicle)).toEqual(["downloading", "verifying", "backing_up", "failed"]);
    expect(vehicle.versions()).toEqual(old);
    expect((await ended("VMG-106")).error?.code).toBe("UDS_TIMEOUT");
  });
});

describe("agent", () => {
  it("takes up a remote configuration at once, and keeps it over a restart", async () => {
    const vin = "VMG-107";
    const vehicle = await testVehicle(gateway, { vin });
    await vehicle.agent.started;
    const answer = await gateway.admin.send("PUT", `/api/v1/vehicles/${vin}/config`, {
      body: { telemetry_interval_s: 0.1, auto_update: true },
    });
    expect(answer.status).toBeLessThan(300);
    await vehicle.event("config_applied");
    await vehicle.event("telemetry_sent");
    await vehicle.stop();
    const again = await testVehicle(gateway, { vin, stateDir: join(vehicle.folder, "..") });
    await again.agent.started;
    expect(again.versions()).toEqual(updated);
    expect(again.events.some(({ type }) => type === "config_applied")).toBe(false);
  });

  it("says who it is, sends a heartbeat and answers a diagnostic request", async () => {
    const vehicle = await testVehicle(gateway, { vin: "VMG-108" });
    await vehicle.agent.started;
    const { negotiated } = await vehicle.event("connected", ({ via }) => via === "mqtt");
    expect(negotiated).toMatchObject({ group: "X25519MLKEM768", profile: { id: 2 } });
    const { heartbeat } = await vehicle.event("heartbeat_sent");
    expect(heartbeat.free_storage_bytes).toBeGreaterThan(0);
    const asked = async (service_id: string, data: string) => {
      const { json } = await gateway.admin.send("POST", "/api/v1/diagnostics/send", {
        body: { vin: "VMG-108", ecu_id: "ECU_004", service_id, data },
      });
      const { response } = await vehicle.event(
        "diagnostic_handled",
        ({ request }) => request.request_id === json.request_id,
      );
      return response;
    };
    expect(await asked("0x22", "F195")).toMatchObject({
      success: true,
      response_data: "62F195312E302E30",
    });
    // It verifies updates, so nobody programs an ECU past it.
    expect(await asked("0x10", "02")).toMatchObject({ error: { code: "PROGRAMMING_REFUSED" } });
  });
});
