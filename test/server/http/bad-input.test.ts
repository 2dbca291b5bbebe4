import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publish, sampleVci } from "#test/helpers/fleet-data.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { rawRequest, sendRaw, tlsAs } from "#test/server/raw-client.ts";

const vin = "VMG-001";
const nothing = "00000000-0000-7000-8000-000000000000";
let gateway: TestGateway;
let vehicle: Caller;

beforeAll(async () => {
  gateway = await startGateway({ https: { body_limit: 65_536 } });
  vehicle = await gateway.vehicle(vin);
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
});
afterAll(() => gateway.close());

const json = (body: string) => ({ raw: { type: "application/json", body } });

describe("a body", () => {
  const route = "/api/v1/vehicles/register";

  it.each([
    ["cut", '{"vin":"VMG-001"'],
    ["of nothing", ""],
    ["with a NUL", '{"vin":"VMG-001","model":"a\\u0000b"}'],
    ["with half a surrogate pair", '{"vin":"VMG-001","model":"\\ud83d"}'],
    ["with half a pair behind a backslash", '{"vin":"VMG-001","model":"\\\\ud83d\\ude00"}'],
    ["with trailing text", '{"vin":"VMG-001"} x'],
    ["in single quotes", "{'vin':'VMG-001'}"],
    ["nested without end", "[".repeat(30_000)],
    ["nested too deep", `{"vin":"VMG-001","x":${"[".repeat(20_000)}${"]".repeat(20_000)}}`],
  ])("%s is malformed", async (_, body) => {
    expect(problemOf(await vehicle.send("POST", route, json(body)))).toBe("REQUEST_MALFORMED");
  });

  it.each([
    ["of another shape", "[]"],
    ["that is text", '"VMG-001"'],
    ["that is null", "null"],
    ["without its field", "{}"],
    ["with a field too long", `{"vin":"VMG-001","model":"${"x".repeat(65)}"}`],
  ])("%s does not fit", async (_, body) => {
    const answer = await vehicle.send("POST", route, json(body));
    expect(problemOf(answer)).toBe("REQUEST_INVALID");
    expect(answer.json.errors).toEqual([
      { path: expect.stringMatching(/^body/) as string, message: expect.any(String) as string },
    ]);
  });

  it("with a number as text does not fit: a body is taken as it is", async () => {
    const ecus = sampleVci().ecus.map((ecu) => ({ ...ecu, logical_address: "1" }));
    const answer = await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, {
      body: { ...sampleVci(), ecus },
    });
    expect(problemOf(answer)).toBe("REQUEST_INVALID");
  });

  it("over the limit is refused, whether it says so or not", async () => {
    const body = JSON.stringify({ vin, model: "x".repeat(70_000) });
    expect(problemOf(await vehicle.send("POST", route, json(body)))).toBe("BODY_TOO_LARGE");
    const chunked = Readable.from([body.slice(0, 40_000), body.slice(40_000)]);
    const raw = { type: "application/json", body: chunked };
    expect(problemOf(await vehicle.send("POST", route, { raw }))).toBe("BODY_TOO_LARGE");
  });

  it.each([
    "text/plain",
    "application/xml",
    "application/jsonp",
    "multipart/form-data; boundary=x",
    "x",
  ])("as %s is not read", async (type) => {
    const answer = await vehicle.send("POST", route, { raw: { type, body: `{"vin":"${vin}"}` } });
    expect(problemOf(answer)).toBe("MEDIA_TYPE_UNSUPPORTED");
    expect(answer.json.detail).toContain("application/json");
  });

  it("as JSON is no firmware upload", async () => {
    const answer = await gateway.admin.send("POST", "/api/v1/firmware", { body: {} });
    expect(problemOf(answer)).toBe("MEDIA_TYPE_UNSUPPORTED");
    expect(answer.json.detail).toContain("multipart/form-data");
  });

  it("that is announced and left out says how to leave it out", async () => {
    const route = `/api/v1/operators/tokens/${nothing}`;
    const { json: problem } = await gateway.admin.send("DELETE", route, json(""));
    expect(problem).toMatchObject({
      code: "REQUEST_MALFORMED",
      detail: expect.stringContaining("leave out the Content-Type") as string,
    });
  });

  it("that names __proto__ changes nothing but itself", async () => {
    const answer = await vehicle.send(
      "POST",
      route,
      json(
        `{"vin":"${vin}","__proto__":{"model":"polluted"},"constructor":{"prototype":{"region":"x"}}}`,
      ),
    );
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({ model: null, region: null });
    expect(({} as Record<string, unknown>)["model"]).toBeUndefined();
  });
});

describe("a request line", () => {
  it.each([
    ["GET", "/api/v1/nothing"],
    ["PROPFIND", "/api/v1/vehicles"],
    ["POST", "/api/v1/vehicles"],
    ["GET", "/"],
    ["GET", "/api/v1/vehicles/../../etc/passwd"],
  ])("for a route that is not there: %s %s", async (method, path) => {
    const raw = await sendRaw(gateway, await tlsAs(gateway), rawRequest(method, path));
    expect(raw.status).toBe(404);
    expect(JSON.parse(raw.body)).toMatchObject({ code: "ROUTE_UNKNOWN" });
  });

  it.each(["/api/v1/vehicles/%zz", "/api/v1/vehicles/%", "/api/v1/vehicles/%ff%fe", "/%c0%af"])(
    "with a bad escape: %s",
    async (path) => {
      const raw = await sendRaw(gateway, await tlsAs(gateway), rawRequest("GET", path));
      expect(raw.status).toBe(400);
      expect(raw.head).toMatch(/content-type: application\/problem\+json/i);
      expect(JSON.parse(raw.body)).toMatchObject({ code: "REQUEST_INVALID" });
    },
  );

  it("with a path parameter that is too long is refused", async () => {
    const answer = await gateway.admin.send("GET", `/api/v1/vehicles/${"x".repeat(300)}`);
    expect(problemOf(answer)).toBe("REQUEST_INVALID");
  });

  it.each([
    ["without a host", "GET /healthz HTTP/1.1\r\n\r\n"],
    ["of a version to come", "GET /healthz HTTP/9.9\r\nhost: a\r\n\r\n"],
    ["of no protocol", "nonsense\r\n\r\n"],
    [
      "with endless headers",
      `GET /healthz HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(17_000)}\r\n\r\n`,
    ],
    ["with a negative length", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\n"],
    [
      "with two lengths",
      "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
  ])("%s is refused and the connection closed", async (_, request) => {
    const raw = await sendRaw(gateway, await tlsAs(gateway), request);
    expect([400, 431, 505]).toContain(raw.status);
  });
});

describe("a VCI", () => {
  const submit = (body: unknown) => vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body });
  const withEcu = (change: object) => {
    const vci = sampleVci();
    return {
      ...vci,
      ecus: vci.ecus.map((ecu, index) => (index === 0 ? { ...ecu, ...change } : ecu)),
    };
  };

  it("with duplicates or an unknown zone is refused, each with its code", async () => {
    const vci = sampleVci();
    expect(problemOf(await submit({ ...vci, ecus: [...vci.ecus, vci.ecus[0]] }))).toBe(
      "VCI_DUPLICATE_ECU",
    );
    const zones = [...vci.zones, { zone_id: "ZG-REAR" }];
    expect(problemOf(await submit({ ...vci, zones }))).toBe("VCI_DUPLICATE_ZONE");
    expect(problemOf(await submit(withEcu({ zone_id: "ZG-LEFT" })))).toBe("VCI_ZONE_UNKNOWN");
  });

  it.each([
    { software_version: "1.0" },
    { software_version: "1.0.0-01" },
    { software_version: "99999999999999999999.0.0" },
    { software_version: 1 },
    { ecu_id: ".." },
    { zone_id: "." },
    { ecu_id: "a/../../b" },
    { hardware_version: "" },
  ])("with %j does not fit", async (change) => {
    expect(problemOf(await submit(withEcu(change)))).toBe("REQUEST_INVALID");
  });

  it("that was refused is not stored", async () => {
    const history = await gateway.admin.send("GET", `/api/v1/vehicles/${vin}/vci`);
    expect(history.json.items).toEqual([]);
  });

  it("of a vehicle that has not registered is refused, and so is its package", async () => {
    const stranger = await gateway.vehicle("VMG-NEW");
    const vci = await stranger.send("POST", "/api/v1/vehicles/VMG-NEW/vci", { body: sampleVci() });
    expect(problemOf(vci)).toBe("VEHICLE_NOT_REGISTERED");
    const asked = await stranger.send("POST", "/api/v1/ota/package", { body: { vin: "VMG-NEW" } });
    expect(problemOf(asked)).toBe("VCI_MISSING");
  });

  it("with the longest names there are still gets its package", async () => {
    const long = await gateway.vehicle("VMG-LONG");
    await long.send("POST", "/api/v1/vehicles/register", { body: { vin: "VMG-LONG" } });
    const longest = "x".repeat(64);
    const version = `1.0.0-${"a".repeat(57)}b`;
    await publish(gateway.admin, { ecu_type: longest, version });
    const ecu = {
      ecu_id: "e".repeat(64),
      zone_id: "z".repeat(64),
      ecu_type: longest,
      hardware_version: "HW-1.0",
      software_version: "0.1.0",
    };
    const vci = { zones: [{ zone_id: ecu.zone_id }], ecus: [ecu] };
    const answer = await long.send("POST", "/api/v1/vehicles/VMG-LONG/vci", { body: vci });
    expect(answer.json.outdated_ecus).toHaveLength(1);
    const asked = await long.send("POST", "/api/v1/ota/package", { body: { vin: "VMG-LONG" } });
    expect(asked.status).toBe(200);
    expect((await long.send("GET", asked.json.download_url)).bytes).toHaveLength(asked.json.size);
  });
});

describe("a package", () => {
  it("for nothing outdated, or for ECUs that are not there, is refused", async () => {
    await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
    const ask = (ecu_ids?: string[]) =>
      vehicle.send("POST", "/api/v1/ota/package", {
        body: { vin, ...(ecu_ids ? { ecu_ids } : {}) },
      });
    expect(problemOf(await ask())).toBe("PACKAGE_NOTHING_OUTDATED");
    expect(problemOf(await ask(["ECU_001"]))).toBe("PACKAGE_NOTHING_OUTDATED");
    expect(problemOf(await ask(["ECU_999"]))).toBe("ECU_UNKNOWN");
    expect(problemOf(await ask([]))).toBe("REQUEST_INVALID");
  });
});

describe("ids that nothing has", () => {
  it.each([
    ["GET", "/api/v1/vehicles/VMG-404", "VEHICLE_UNKNOWN", undefined],
    ["PATCH", "/api/v1/vehicles/VMG-404", "VEHICLE_UNKNOWN", { channel: "beta" }],
    ["GET", "/api/v1/vehicles/VMG-404/config", "VEHICLE_UNKNOWN", undefined],
    ["PUT", "/api/v1/vehicles/VMG-404/config", "VEHICLE_UNKNOWN", {}],
    ["POST", "/api/v1/vehicles/VMG-404/commands", "VEHICLE_UNKNOWN", { command: "ota_status" }],
    ["GET", "/api/v1/vehicles/VMG-404/telemetry", "VEHICLE_UNKNOWN", undefined],
    ["GET", "/api/v1/vehicles/VMG-404/vci", "VEHICLE_UNKNOWN", undefined],
    ["GET", "/api/v1/vehicles/VMG-404/commands", "VEHICLE_UNKNOWN", undefined],
    ["GET", `/api/v1/firmware/${nothing}`, "FIRMWARE_UNKNOWN", undefined],
    ["PATCH", `/api/v1/firmware/${nothing}`, "FIRMWARE_UNKNOWN", { critical: true }],
    ["DELETE", `/api/v1/firmware/${nothing}`, "FIRMWARE_UNKNOWN", undefined],
    ["GET", `/api/v1/updates/${nothing}`, "UPDATE_UNKNOWN", undefined],
    ["POST", `/api/v1/updates/${nothing}/cancel`, "UPDATE_UNKNOWN", undefined],
    ["GET", `/api/v1/commands/${nothing}`, "COMMAND_UNKNOWN", undefined],
    ["GET", `/api/v1/diagnostics/results/${nothing}`, "DIAGNOSTIC_UNKNOWN", undefined],
    ["DELETE", `/api/v1/operators/tokens/${nothing}`, "TOKEN_UNKNOWN", undefined],
  ] as const)("%s %s: %s", async (method, path, code, body) => {
    const answer = await gateway.admin.send(method, path, body === undefined ? {} : { body });
    expect(problemOf(answer)).toBe(code);
  });

  it.each([
    "/api/v1/firmware/1",
    `/api/v1/firmware/${"-".repeat(36)}`,
    "/api/v1/updates/x",
    "/api/v1/commands/null",
    "/api/v1/diagnostics/results/results",
    "/api/v1/vehicles/a",
    "/api/v1/vehicles/...",
    "/api/v1/vehicles/a%00b",
    "/api/v1/vehicles/a%2Fb%2Fc",
  ])("%s is no id at all", async (path) => {
    expect(problemOf(await gateway.admin.send("GET", path))).toBe("REQUEST_INVALID");
  });

  it("of a package: unknown, or not the caller's", async () => {
    const get = (id: string) => vehicle.send("GET", `/api/v1/ota/package/${id}`);
    expect(problemOf(await get(`pkg-${"0".repeat(32)}`))).toBe("PACKAGE_UNKNOWN");
    expect(problemOf(await get("pkg-1"))).toBe("REQUEST_INVALID");
    expect(problemOf(await get("..%2F..%2Foperator.token"))).toBe("REQUEST_INVALID");
  });

  it("of another vehicle's update can't be reported to", async () => {
    const owner = await gateway.vehicle("VMG-OWN");
    await publish(gateway.admin, { ecu_type: "brake", version: "7.0.0" });
    await owner.send("POST", "/api/v1/vehicles/register", { body: { vin: "VMG-OWN" } });
    await owner.send("POST", "/api/v1/vehicles/VMG-OWN/vci", { body: sampleVci() });
    const { update_id } = (
      await owner.send("POST", "/api/v1/ota/package", { body: { vin: "VMG-OWN" } })
    ).json;
    const body = { update_id, status: "failed", progress: 0, ts: new Date().toISOString() };
    expect(problemOf(await vehicle.send("POST", "/api/v1/ota/status", { body }))).toBe(
      "UPDATE_UNKNOWN",
    );
    const update = await gateway.admin.send("GET", `/api/v1/updates/${update_id}`);
    expect(update.json).toMatchObject({ status: "pending", events: [] });
  });
});

describe("operators' requests", () => {
  it.each([
    ["PATCH", `/api/v1/vehicles/${vin}`, {}],
    ["PATCH", `/api/v1/vehicles/${vin}`, { channel: "nightly" }],
    ["PATCH", `/api/v1/vehicles/${vin}`, { vin: "VMG-002" }],
    ["PATCH", `/api/v1/vehicles/${vin}`, { status: "offline", channel: "beta" }],
    ["PUT", `/api/v1/vehicles/${vin}/config`, { heartbeat_interval_s: 0 }],
    ["PUT", `/api/v1/vehicles/${vin}/config`, { shell: "rm -rf /" }],
    ["POST", `/api/v1/vehicles/${vin}/commands`, { command: "self_destruct" }],
    ["POST", `/api/v1/vehicles/${vin}/commands`, { command: "ota_status", ttl_s: 0 }],
    ["POST", `/api/v1/vehicles/${vin}/commands`, { command: "ota_status", ttl_s: 1e12 }],
    ["POST", "/api/v1/operators/tokens", { name: "", role: "viewer" }],
    ["POST", "/api/v1/operators/tokens", { name: "x", role: "viewer", expires_in_days: 0 }],
    ["POST", "/api/v1/operators/tokens", { name: "x", role: "viewer", expires_in_days: 1e9 }],
    ["POST", "/api/v1/diagnostics/send", { vin, ecu_id: "ECU_001", service_id: "22F190" }],
    [
      "POST",
      "/api/v1/diagnostics/send",
      { vin, ecu_id: "ECU_001", service_id: "0x22", timeout_ms: 1 },
    ],
  ])("%s %s %j does not fit", async (method, path, body) => {
    expect(problemOf(await gateway.admin.send(method, path, { body }))).toBe("REQUEST_INVALID");
  });

  it("for diagnostics name what is unknown", async () => {
    const send = (change: object) =>
      gateway.admin.send("POST", "/api/v1/diagnostics/send", {
        body: { vin, ecu_id: "ECU_001", service_id: "0x22", data: "F190", ...change },
      });
    expect(problemOf(await send({ vin: "VMG-404" }))).toBe("VEHICLE_UNKNOWN");
    expect(problemOf(await send({ ecu_id: "ECU_404" }))).toBe("ECU_UNKNOWN");
    expect(problemOf(await send({ data: "F19" }))).toBe("DIAGNOSTIC_INVALID");
    expect(problemOf(await send({ data: "00".repeat(4095) }))).toBe("DIAGNOSTIC_INVALID");
    const zone = await gateway.admin.send("POST", "/api/v1/diagnostics/broadcast", {
      body: { vin, zone_id: "ZG-404", service_id: "3E", data: "00" },
    });
    expect(problemOf(zone)).toBe("ZONE_UNKNOWN");
    const silent = await gateway.vehicle("VMG-NOVCI");
    await silent.send("POST", "/api/v1/vehicles/register", { body: { vin: "VMG-NOVCI" } });
    expect(problemOf(await send({ vin: "VMG-NOVCI" }))).toBe("VCI_MISSING");
  });
});

describe("after all that", () => {
  it("nothing has failed inside, and nothing is still under way", async () => {
    const failures = gateway.log.filter(({ level }) => Number(level) >= 50);
    expect(failures).toEqual([]);
    const health = await gateway.admin.send("GET", "/healthz");
    expect(health.json).toEqual({
      status: "ok",
      state: "IDLE",
      in_flight: { https: 0, mqtt: 0, maintenance: 0 },
    });
  });
});
