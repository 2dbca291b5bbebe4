import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Scan, ScanDiff } from "#protocol/api/diagnostic-scan.ts";
import type { ScannedEcu } from "#protocol/mqtt/diagnostic-event.ts";
import { publish } from "#test/helpers/fleet-data.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import {
  connect,
  operator,
  register,
  type RemoteVehicle,
} from "#test/server/diagnostic-sessions/remote-vehicle.ts";
import { metric } from "#test/server/metric.ts";
import { problemOf } from "#test/server/problem-of.ts";

let gateway: TestGateway;
let vin: string;
let counter = 0;

beforeAll(async () => {
  gateway = await startGateway({ maintenance: { interval_s: 3600 } });
});
afterAll(() => gateway.close());
beforeEach(async () => {
  vin = `VMG-C${++counter}`;
  await register(gateway, vin);
});

const api = "/api/v1/diagnostics";
const start = (more: object = {}) =>
  gateway.admin.send("POST", `${api}/scans`, { body: { vin, ...more } });
const get = async (path: string) => gateway.admin.send("GET", `${api}${path}`);
const unexpected = () =>
  metric(gateway, "mqtt_refused_total", { reason: "DIAGNOSTIC_EVENT_UNEXPECTED" });

const healthy: ScannedEcu[] = [
  { ecu_id: "ECU_001", dids: { F195: "312E302E30" }, dtcs: "5902FF" },
  { ecu_id: "ECU_002", dids: {}, error: { code: "UDS_TIMEOUT", message: "no answer" } },
];
const ill: ScannedEcu[] = [
  { ecu_id: "ECU_001", dids: { F195: "322E302E30" }, dtcs: "5902FF05621609" },
];

/** Answers every scan with these. */
function answering(vehicle: RemoteVehicle, ...results: ScannedEcu[][]): RemoteVehicle {
  vehicle.on((message) => {
    if (message.kind !== "scan") return;
    void vehicle.say({ kind: "scan", scan_id: message.scan_id, ecus: results.shift() ?? [] });
  });
  return vehicle;
}

describe("a scan", () => {
  it("reads a whole vehicle, and two of them are compared", async () => {
    answering(await connect(gateway, vin), healthy, ill);
    const first = await start({ wait_ms: 10_000 });
    expect(first).toMatchObject({
      status: 201,
      json: {
        vin,
        status: "completed",
        requested_by: "first-admin",
        update_id: null,
        ecus: [
          {
            ecu_id: "ECU_001",
            dids: [{ did: "0xF195", value: "1.0.0", raw: "312E302E30" }],
            dtcs_raw: "5902FF",
            dtcs: [],
            error: null,
          },
          { ecu_id: "ECU_002", dtcs: null, error: { code: "UDS_TIMEOUT" } },
        ],
      },
    });
    const [a, b] = [first.json as Scan, (await start({ wait_ms: 10_000 })).json as Scan];
    expect((await get(`/scans/${a.scan_id}/diff/${b.scan_id}`)).json).toMatchObject({
      before: a.scan_id,
      after: b.scan_id,
      ecus_missing: ["ECU_002"],
      dtcs: [{ code: "P0562-16", change: "new", bits_set: ["testFailed", "confirmedDTC"] }],
      dids: [{ did: "0xF195", before: { value: "1.0.0" }, after: { value: "2.0.0" } }],
    } satisfies Partial<Record<keyof ScanDiff, unknown>>);
    const { items } = (await get(`/scans?vin=${vin}`)).json as { items: Scan[] };
    expect(items.map(({ scan_id }) => scan_id)).toEqual([b.scan_id, a.scan_id]);
    expect(items[0]).not.toHaveProperty("ecus");
    expect((await get(`/scans/${a.scan_id}`)).json).toEqual(a);
  });

  it("needs a vehicle that is there and not being scanned, and an operator who may read", async () => {
    expect(problemOf(await start())).toBe("VEHICLE_OFFLINE");
    const deaf = await gateway.mqtt(vin);
    expect(problemOf(await start())).toBe("VEHICLE_OFFLINE");
    await deaf.endAsync(true);
    const vehicle = await connect(gateway, vin);
    expect((await start()).status).toBe(202);
    expect(problemOf(await start())).toBe("SCAN_RUNNING");
    const { scan_id } = await vehicle.was("scan");
    await vehicle.say({ kind: "scan", scan_id, ecus: healthy });
    expect((await get(`/scans/${scan_id}`)).json).toMatchObject({ status: "completed" });
    expect((await start()).status).toBe(202);
    const none = await operator(gateway, "nina", "diagnostician", { diagnostic_level: "none" });
    expect(problemOf(await none.send("POST", `${api}/scans`, { body: { vin } }))).toBe(
      "DIAGNOSTIC_DENIED",
    );
  });

  it("may read any identifier, so a rule about one is about it", async () => {
    await connect(gateway, vin);
    const body = {
      position: 1,
      effect: "deny",
      description: "serial numbers",
      vehicles: [vin],
      requests: [{ service: "22", did: "F18C" }],
    };
    await gateway.admin.send("POST", `${api}/policy/rules`, { body });
    expect(problemOf(await start())).toBe("DIAGNOSTIC_DENIED");
  });

  it("is taken once, from the vehicle that was asked, and whole", async () => {
    const vehicle = await connect(gateway, vin);
    const stranger = `VMG-C${++counter}`;
    await register(gateway, stranger);
    const other = await connect(gateway, stranger);
    await start();
    const { scan_id } = await vehicle.was("scan");
    const before = await unexpected();
    const nobody = "00000000-0000-7000-8000-000000000000";
    await other.say({ kind: "scan", scan_id, ecus: ill });
    await vehicle.say({ kind: "scan", scan_id: nobody, ecus: ill });
    await vehicle.say({ kind: "scan", ecus: ill });
    await vehicle.say({ kind: "scan", scan_id, ecus: [...ill, ...ill] });
    expect(await unexpected()).toBe(before + 4);
    expect((await get(`/scans/${scan_id}`)).json).toMatchObject({ status: "requested", ecus: [] });
    expect(problemOf(await get(`/scans/${scan_id}/diff/${scan_id}`))).toBe("REQUEST_INVALID");
    await vehicle.say({ kind: "scan", scan_id, ecus: healthy });
    await vehicle.say({ kind: "scan", scan_id, ecus: ill });
    expect(await unexpected()).toBe(before + 4);
    const { json } = await get(`/scans/${scan_id}`);
    expect((json as Scan).ecus[0]?.dtcs).toEqual([]);
    expect(problemOf(await get(`/scans/${nobody}`))).toBe("SCAN_UNKNOWN");
    expect(problemOf(await get(`/scans/${scan_id}/diff/${nobody}`))).toBe("SCAN_UNKNOWN");
    answering(other, healthy);
    const body = { vin: stranger, wait_ms: 10_000 };
    const foreign = await gateway.admin.send("POST", `${api}/scans`, { body });
    expect(problemOf(await get(`/scans/${scan_id}/diff/${foreign.json.scan_id}`))).toBe(
      "REQUEST_INVALID",
    );
  });
});

describe("scans around an update", () => {
  it("are stored with it, once each, and show what it has changed", async () => {
    const vehicle = await connect(gateway, vin);
    await publish(gateway.admin, { ecu_type: "lights", version: "2.0.0" });
    const car = await gateway.vehicle(vin);
    const { json } = await car.send("POST", "/api/v1/ota/package", { body: { vin } });
    const { update_id } = json as { update_id: string };
    const scan = { kind: "scan", update_id } as const;
    const diff = () => get(`/updates/${update_id}/diff`);
    await vehicle.say({ ...scan, phase: "before_update", ecus: healthy });
    expect(problemOf(await diff())).toBe("SCAN_UNKNOWN");
    await vehicle.say({ ...scan, phase: "after_update", ecus: ill });
    const before = await unexpected();
    await vehicle.say({ ...scan, phase: "before_update", ecus: ill });
    expect(await unexpected()).toBe(before);
    expect((await diff()).json).toMatchObject({
      ecus_missing: ["ECU_002"],
      dtcs: [{ change: "new" }],
    });
    const { items } = (await get(`/scans?update_id=${update_id}`)).json as { items: Scan[] };
    expect(items.map(({ phase, requested_by }) => [phase, requested_by])).toEqual([
      ["after_update", null],
      ["before_update", null],
    ]);
    // Not of another vehicle's update.
    const stranger = `VMG-C${++counter}`;
    await register(gateway, stranger);
    const other = await connect(gateway, stranger);
    await other.say({ ...scan, phase: "before_update", ecus: ill });
    await vehicle.say({ ...scan, ecus: ill });
    expect(await unexpected()).toBe(before + 2);
  });
});
