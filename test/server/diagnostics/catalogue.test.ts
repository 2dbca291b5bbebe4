import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DiagnosticRequest } from "#protocol/mqtt/diagnostics.ts";
import { sampleVci } from "#test/helpers/fleet-data.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";

const vin = "VMG-001";
const temporary = temporaryFolder();
const folder = temporary.path;
const ecuType = sampleVci().ecus.find(({ ecu_id }) => ecu_id === "ECU_001")?.ecu_type ?? "";
let gateway: TestGateway;

const general =
  "dids:\n  - { did: 0x0200, name: mileage, codec: { kind: uint, length: 2, unit: km } }\n";
const own = `ecu_type: ${ecuType}
dids:
  - { did: 0x0200, name: cycles, codec: { kind: uint, length: 2 } }
dtcs:
  - { code: P1A00-16, text: Pressure low, severity: check_immediately }
rids:
  - { rid: 0x0300, name: bleed, result: [{ name: bar, codec: { kind: uint, length: 1 } }] }
security_levels:
  - { level: 3, name: calibration }
`;

beforeAll(async () => {
  writeFileSync(join(folder, "general.yaml"), general);
  writeFileSync(join(folder, "own.yaml"), own);
  gateway = await startGateway({ diagnostics: { catalogue_dir: folder } });
});
afterAll(async () => {
  await gateway.close();
  temporary.remove();
});

const get = async (path: string) => {
  const { status, json } = await gateway.admin.send("GET", `/api/v1/diagnostics/${path}`);
  expect(status).toBe(200);
  return json;
};

describe("GET /diagnostics/supported-services", () => {
  it("lists every service with what it may do", async () => {
    const { services } = await get("supported-services");
    const ids = services.map(({ service_id }: { service_id: string }) => service_id.slice(2));
    expect(ids.join(" ")).toBe(
      "10 11 14 19 22 23 24 27 28 29 2A 2C 2E 2F 31 34 35 36 37 38 3D 3E 83 84 85 86 87",
    );
    const of = (id: string) =>
      services.find(({ service_id }: { service_id: string }) => service_id === id);
    expect(of("0x22")).toEqual({
      service_id: "0x22",
      name: "ReadDataByIdentifier",
      reads_only: true,
      level: "read",
      sub_functions: [],
    });
    expect(of("0x10")).toMatchObject({ reads_only: false, level: "control" });
    expect(of("0x10").sub_functions.slice(0, 2)).toEqual([
      { id: "0x01", name: "defaultSession", reads_only: false, level: "read" },
      { id: "0x02", name: "programmingSession", reads_only: false, level: "control" },
    ]);
    expect(of("0x31").sub_functions[2]).toMatchObject({ reads_only: true, level: "control" });
    expect(of("0x2E").level).toBe("write");
  });
});

describe("GET /diagnostics/catalogue", () => {
  it("is general, or that of a type of ECU", async () => {
    const all = await get("catalogue");
    expect(all).toMatchObject({ ecu_type: null, ecu_types: [ecuType] });
    expect(all.dids[0].did).toBe("0x0100");
    expect(all.dids).toContainEqual({
      did: "0x0200",
      name: "mileage",
      codec: { kind: "uint", length: 2, unit: "km" },
      length: 2,
      unit: "km",
    });
    const one = await get(`catalogue?ecu_type=${ecuType}`);
    expect(one.ecu_type).toBe(ecuType);
    expect(one.dids).toContainEqual({
      did: "0x0200",
      name: "cycles",
      codec: { kind: "uint", length: 2 },
      length: 2,
      unit: null,
    });
    expect(one.dtcs).toContainEqual({
      code: "P1A00-16",
      text: "Pressure low",
      severity: "check_immediately",
    });
    expect(one.rids).toContainEqual({
      rid: "0x0300",
      name: "bleed",
      option: [],
      result: [{ name: "bar", codec: { kind: "uint", length: 1 } }],
    });
    expect(one.security_levels).toEqual([{ level: 3, name: "calibration" }]);
  });

  it("is for operators", async () => {
    const vehicle = await gateway.vehicle("VMG-009");
    const { status } = await vehicle.send("GET", "/api/v1/diagnostics/catalogue");
    expect(status).toBe(401);
  });
});

describe("a result", () => {
  it("is decoded by the catalogue of the ECU's type, alone and in a list", async () => {
    const vehicle = await gateway.vehicle(vin);
    await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
    await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
    const client = await gateway.mqtt(vin);
    client.on("message", (topic, payload) => {
      const { request_id, ecu_id, attempt, success } = JSON.parse(
        payload.toString(),
      ) as DiagnosticRequest & { success?: boolean };
      if (success !== undefined) return;
      const answer = { request_id, ecu_id, attempt, success: true, response_data: "6202000010" };
      client.publish(topic, JSON.stringify(answer), { qos: 1 });
    });
    await client.subscribeAsync(`vehicle/${vin}/diagnostics`, { qos: 1 });
    const { json } = await gateway.admin.send("POST", "/api/v1/diagnostics/send", {
      body: { vin, ecu_id: "ECU_001", service_id: "0x22", data: "0200" },
    });
    const result = await get(`results/${json.request_id}?wait_ms=10000`);
    expect(result.request_decoded.did).toEqual({ id: "0x0200", name: "cycles" });
    const values = [{ did: "0x0200", name: "cycles", value: 16, raw: "0010" }];
    expect(result.responses[0].decoded.values).toEqual(values);
    const { items } = await get("results");
    expect(items[0].responses[0].decoded.values).toEqual(values);
    await client.endAsync();
  });
});

describe("the files of the catalogue", () => {
  it("are read again, and kept as they were while they are wrong", async () => {
    const nameOf = async () => {
      const { dids } = await get("catalogue");
      return dids.find(({ did }: { did: string }) => did === "0x0200").name;
    };
    writeFileSync(join(folder, "general.yaml"), general.replace("mileage", "odometer"));
    expect(await gateway.app.reload()).toBe(true);
    expect(await nameOf()).toBe("odometer");
    writeFileSync(join(folder, "general.yaml"), general.replace("uint", "float"));
    expect(await gateway.app.reload()).toBe(false);
    expect(await nameOf()).toBe("odometer");
    expect(gateway.log.some(({ err }) => JSON.stringify(err)?.includes("general.yaml:2"))).toBe(
      true,
    );
    writeFileSync(join(folder, "general.yaml"), general);
  });
});
