import { randomUUIDv7 } from "node:crypto";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createRegisterCheck } from "#cli/register-check.ts";
import type { AuditEntry } from "#protocol/api/audit.ts";
import type { RegisterEntry } from "#protocol/api/register.ts";
import { sampleVci, publish } from "#test/helpers/fleet-data.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { problemOf } from "#test/server/problem-of.ts";

const vin = "VMG-001";
let gateway: TestGateway;
let update_id: string;

beforeAll(async () => {
  gateway = await startGateway();
  const vehicle = await gateway.vehicle(vin);
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
  await publish(gateway.admin, {
    ecu_type: "brake",
    version: "2.0.0",
    fields: { rxswin: "R79-B" },
  });
  await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
  const answer = await vehicle.send("POST", "/api/v1/ota/package", { body: { vin } });
  ({ update_id } = answer.json as { update_id: string });
  const error = { code: "FLASH_FAILED", message: '=1+1, "so"' };
  const report = { update_id, progress: 10, ts: "2026-06-01T00:00:00Z" };
  for (const said of [
    { status: "installing", bytes_downloaded: 524_288 },
    { status: "failed", error },
  ]) {
    await vehicle.send("POST", "/api/v1/ota/status", { body: { ...report, ...said } });
  }
});
afterAll(() => gateway.close());

const get = (path: string) => gateway.admin.send("GET", `/api/v1${path}`);
const linesOf = async (path: string) => (await get(path)).bytes.toString().trimEnd().split(/\r?\n/);

describe("the history", () => {
  it("is listed by pages and exported whole", async () => {
    const { json } = await get(`/history/updates?vin=${vin}&limit=1`);
    expect(json).toMatchObject({
      items: [{ update_id, ecu_id: "ECU_001", to_version: "2.0.0", status: "failed" }],
      next_cursor: null,
    });
    const csv = await linesOf(`/history/updates/export?format=csv&vin=${vin}`);
    expect(csv).toHaveLength(2);
    expect(csv[0]).toMatch(/^completed_at,vin,ecu_id,/);
    expect(csv[1]).toContain(`,${vin},ECU_001,brake,`);
    // No spreadsheet takes it for a formula.
    expect(csv[1]).toMatch(/,FLASH_FAILED,"'=1\+1, ""so"""$/);
    const [line] = await linesOf("/history/updates/export");
    expect(JSON.parse(line ?? "")).toEqual(json.items[0]);
    expect(problemOf(await get("/history/updates?status=lost"))).toBe("REQUEST_INVALID");
  });

  it("has the vehicle's words, and numbers", async () => {
    const { items } = (await get(`/logs?vin=${vin}`)).json as { items: object[] };
    expect(items).toMatchObject([
      { status: "failed", error: { code: "FLASH_FAILED" }, bytes_downloaded: null },
      { status: "installing", bytes_downloaded: 524_288 },
    ]);
    const { json } = await get("/stats/updates?by=ecu_type");
    expect(json.items).toMatchObject([{ key: "brake", total: 1, failed: 1, failure_rate: 1 }]);
    for (const query of [
      "by=colour",
      "by=day&from=2026-02-31",
      "by=day&from=2026-02-02&to=2026-02-01",
    ]) {
      expect(problemOf(await get(`/stats/updates?${query}`))).toBe("REQUEST_INVALID");
    }
  });
});

describe("the register", () => {
  it("is exported with hashes that the audit log has", async () => {
    const entries = (await linesOf("/register/export")).map(
      (line) => JSON.parse(line) as RegisterEntry,
    );
    expect(entries.map(({ record }) => record)).toMatchObject([
      {
        ...{ kind: "issued", update_id, ecus: [{ rxswin_after: "R79-B" }], command_id: null },
        policy: { policy_id: null, source: "default", mode: "auto" },
      },
      { kind: "result", update_id, status: "failed" },
    ]);
    const check = createRegisterCheck();
    await check.read(Readable.from([(await get("/register/export")).bytes]));
    for (const line of await linesOf("/audit/export")) {
      check.hold(JSON.parse(line) as AuditEntry, true);
    }
    expect(check.end()).toBe(2);

    const [issued] = entries;
    const id = issued?.record.record_id ?? "";
    expect((await get(`/register/${id}`)).json).toEqual(issued);
    expect((await get(`/register?rxswin=R79-B&limit=1`)).json).toMatchObject({
      items: [{ record: { kind: "result" } }],
    });
    expect((await get("/register?rxswin=R79")).json).toMatchObject({ items: [] });
    const csv = await linesOf("/register/export?format=csv");
    expect(csv.map((line) => line.split(",").length)).toEqual([22, 22, 22]);
    expect(problemOf(await get(`/register/${randomUUIDv7()}`))).toBe("REGISTER_RECORD_UNKNOWN");
  });
});
