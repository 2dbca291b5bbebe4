import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { DiagnosticRequest } from "#protocol/mqtt/diagnostics.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { requirePeer } from "#test/helpers/optional.ts";
import {
  connect,
  opening,
  operator,
  register,
  type RemoteVehicle,
} from "#test/server/diagnostic-sessions/remote-vehicle.ts";

let gateway: TestGateway;
let engineer: Caller & { token_id: string };
let colleague: Caller & { token_id: string };
let vin: string;
let asked: DiagnosticRequest[];
let counter = 0;

beforeAll(async () => {
  gateway = await startGateway({ maintenance: { interval_s: 0.05 } });
  engineer = await operator(gateway, "engineer", "diagnostician");
  colleague = await operator(gateway, "colleague", "diagnostician");
});
afterAll(() => gateway.close());
beforeEach(async () => {
  vin = `VMG-P${++counter}`;
  await register(gateway, vin);
});

/** A vehicle that opens sessions and answers each request with `6E` or `62`. */
async function online(): Promise<RemoteVehicle> {
  asked = [];
  const vehicle = opening(await connect(gateway, vin));
  vehicle.client.on("message", (topic, payload) => {
    const message = JSON.parse(payload.toString()) as DiagnosticRequest & { success?: boolean };
    if (!topic.endsWith("/diagnostics") || message.success !== undefined) return;
    asked.push(message);
    const { request_id, attempt, ecu_id, service_id } = message;
    const sid = (Number(service_id) + 0x40).toString(16).toUpperCase();
    const answer = {
      request_id,
      attempt,
      success: true,
      ...(ecu_id === undefined
        ? { responses: [{ ecu_id: "ECU_001", response_data: `${sid}00` }] }
        : { ecu_id, response_data: `${sid}F190` }),
    };
    void vehicle.client.publishAsync(topic, JSON.stringify(answer), { qos: 1 });
  });
  await vehicle.client.subscribeAsync(`vehicle/${vin}/diagnostics`, { qos: 1 });
  return vehicle;
}

const send = (as: Caller, body: object = {}) =>
  as.send("POST", "/api/v1/diagnostics/send", {
    body: {
      vin,
      ecu_id: "ECU_001",
      service_id: "22",
      data: "F190",
      wait_ms: 10_000,
      ...body,
    },
  });
const openSession = async (as: Caller, body: object = {}) =>
  (
    await as.send("POST", "/api/v1/diagnostics/sessions", {
      body: { vin, ecu_id: "ECU_001", ...body },
    })
  ).json;
const result = async (id: string) =>
  (await gateway.admin.send("GET", `/api/v1/diagnostics/results/${id}`)).json;
const actions = async (subject: string) => {
  const { json } = await gateway.admin.send("GET", `/api/v1/audit?subject=${subject}&limit=50`);
  return json.items.map(({ actor, action }: { actor: string; action: string }) => [actor, action]);
};

async function rule(body: object): Promise<void> {
  const { status } = await gateway.admin.send("POST", "/api/v1/diagnostics/policy/rules", {
    body: { position: 1, description: "for this test", vehicles: [vin], ...body },
  });
  expect(status).toBe(201);
}
/** The approval that a request waits for. */
async function approvalOf(requestId: string): Promise<string> {
  const { json } = await gateway.admin.send(
    "GET",
    `/api/v1/diagnostics/approvals?subject=${requestId}`,
  );
  return json.items[0].approval_id as string;
}
const decide = (as: Caller, id: string, what: "approve" | "reject") =>
  as.send("POST", `/api/v1/diagnostics/approvals/${id}/${what}`, { body: {} });

describe("an ECU in a session", () => {
  it("takes requests that belong to it, and no others", async () => {
    await online();
    const { session_id, status } = await openSession(engineer);
    expect(status).toBe("open");
    expect(await send(engineer, { session_id })).toMatchObject({ json: { status: "completed" } });
    expect(asked[0]).toMatchObject({ session_id });
    for (const [as, code] of [
      [engineer, "ECU_LOCKED"],
      [colleague, "ECU_LOCKED"],
    ] as const)
      expect(await send(as)).toMatchObject({ status: 423, json: { code } });
    const zone = { vin, zone_id: "ZG-FRONT", service_id: "3E", data: "00" };
    const broadcast = await colleague.send("POST", "/api/v1/diagnostics/broadcast", { body: zone });
    expect(broadcast).toMatchObject({ status: 423, json: { code: "ECU_LOCKED" } });
    expect(await send(colleague, { ecu_id: "ECU_003" })).toMatchObject({ status: 200 });
    expect(asked).toHaveLength(2);
  });

  it("belongs to whoever opened it, for as long as it is open", async () => {
    await online();
    const { session_id } = await openSession(engineer);
    expect((await send(colleague, { session_id })).json.code).toBe("SESSION_OF_ANOTHER");
    expect((await send(engineer, { session_id, ecu_id: "ECU_002" })).json.code).toBe(
      "SESSION_UNKNOWN",
    );
    await engineer.send("DELETE", `/api/v1/diagnostics/sessions/${session_id}`);
    expect((await send(engineer, { session_id })).json.code).toBe("SESSION_ENDED");
    expect((await send(colleague)).status).toBe(200);
  });
});

describe("a rule", () => {
  it("that denies refuses the request, which is on record with who asked", async () => {
    await online();
    await rule({ effect: "deny", requests: [{ service: "22", did: "F190" }] });
    const { status, json } = await send(engineer);
    expect([status, json.code]).toEqual([403, "DIAGNOSTIC_DENIED"]);
    expect(asked).toEqual([]);
    const { json: log } = await gateway.admin.send(
      "GET",
      `/api/v1/audit?vin=${vin}&action=diagnostics.denied`,
    );
    expect(log.items).toMatchObject([
      { actor: "operator:engineer", ecu_id: "ECU_001", request: "22F190" },
    ]);
  });

  it("that wants a second person lets the request go when one has said so", async () => {
    await online();
    await rule({ effect: "approve", requests: [{ service: "2E" }] });
    const { status, json } = await send(engineer, { service_id: "2E", data: "F19041", wait_ms: 0 });
    expect([status, json.status]).toEqual([202, "awaiting_approval"]);
    const approval = await approvalOf(json.request_id);
    expect((await decide(engineer, approval, "approve")).json.code).toBe("APPROVAL_OWN");
    expect(asked).toEqual([]);
    const decided = await decide(colleague, approval, "approve");
    expect(decided).toMatchObject({ status: 200, json: { summary: "ECU_001: 2EF19041" } });
    await vi.waitFor(async () =>
      expect(await result(json.request_id)).toMatchObject({
        status: "completed",
        requested_by: "engineer",
        approved_by: "colleague",
      }),
    );
    expect(asked).toHaveLength(1);
    expect(await actions(json.request_id)).toEqual([
      [`vehicle:${vin}`, "diagnostics.answer"],
      ["operator:colleague", "approval.approved"],
      ["operator:engineer", "approval.requested"],
      ["operator:engineer", "diagnostics.request"],
    ]);
  });

  it("that wants a second person ends the request when they say no", async () => {
    await online();
    await rule({ effect: "approve", requests: [{ service: "2E" }] });
    const { json } = await send(engineer, { service_id: "2E", data: "F19041", wait_ms: 0 });
    await decide(colleague, await approvalOf(json.request_id), "reject");
    await vi.waitFor(async () =>
      expect(await result(json.request_id)).toMatchObject({
        status: "denied",
        error: { code: "APPROVAL_REFUSED" },
      }),
    );
    expect(asked).toEqual([]);
  });

  it("holds for what was waiting when it was made, too", async () => {
    const { json } = await send(engineer, { wait_ms: 0 });
    await rule({ effect: "deny", requests: [{ service: "22" }] });
    await online();
    await vi.waitFor(async () =>
      expect(await result(json.request_id)).toMatchObject({
        status: "denied",
        error: { code: "DIAGNOSTIC_DENIED" },
      }),
    );
    expect(asked).toEqual([]);
  });
});

describe("a level", () => {
  it("is as far as an operator's requests go", async () => {
    await online();
    const reader = await operator(gateway, `reader-${vin}`, "diagnostician", {
      diagnostic_level: "read",
    });
    expect((await send(reader)).status).toBe(200);
    for (const body of [
      { service_id: "2E", data: "F19041" },
      { service_id: "31", data: "01FF00" },
      { service_id: "11", data: "01" },
    ])
      expect((await send(reader, body)).json.code).toBe("DIAGNOSTIC_DENIED");
  });
});

describe("revoking remote diagnostics", () => {
  it("ends what waits for a vehicle", async () => {
    const { json } = await send(engineer, { wait_ms: 0 });
    const { status } = await gateway.admin.send("POST", "/api/v1/diagnostics/revoke", {
      body: { vin, reason: "recall" },
    });
    expect(status).toBeLessThan(300);
    expect(await result(json.request_id)).toMatchObject({
      status: "denied",
      error: { code: "REVOKED", message: "recall" },
    });
  });
});

describe("a capture", () => {
  it("has what was said in a session, as DoIP and UDS without a malformed frame", async (context) => {
    requirePeer(context, "tshark");
    await online();
    const { session_id } = await openSession(engineer);
    await send(engineer, { session_id });
    await send(engineer, { session_id, service_id: "2E", data: "F19041" });
    await engineer.send("DELETE", `/api/v1/diagnostics/sessions/${session_id}`);
    await send(engineer);
    const { bytes, headers } = await engineer.send(
      "GET",
      `/api/v1/diagnostics/sessions/${session_id}/capture`,
    );
    expect(headers["content-disposition"]).toContain(`${session_id}.pcapng`);
    const file = join(testFolder(), "session.pcapng");
    writeFileSync(file, bytes);
    const tshark = (...more: string[]) =>
      spawnSync("tshark", ["-r", file, ...more], { encoding: "utf8" }).stdout.trim();
    expect(tshark("-Y", "_ws.malformed")).toBe("");
    expect(tshark("-Y", "uds", "-T", "fields", "-e", "uds.sid").split("\n")).toEqual([
      "0x10",
      "0x10",
      "0x22",
      "0x22",
      "0x2e",
      "0x2e",
    ]);
    const { bytes: all } = await engineer.send("GET", `/api/v1/diagnostics/capture?vin=${vin}`);
    expect(all.length).toBeGreaterThan(bytes.length);
  });

  it("is for diagnosticians, on record, and empty for a vehicle of which nothing is known", async () => {
    const viewer = await operator(gateway, `viewer-${vin}`, "viewer");
    const path = `/api/v1/diagnostics/capture?vin=${vin}`;
    expect((await viewer.send("GET", path)).status).toBe(403);
    expect((await engineer.send("GET", path)).status).toBe(200);
    const { json } = await gateway.admin.send("GET", `/api/v1/audit?action=capture.exported`);
    expect(json.items[0]).toMatchObject({ actor: "operator:engineer", vin });
  });
});

describe("after all that", () => {
  it("nothing has failed inside", () => {
    expect(gateway.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });
});
