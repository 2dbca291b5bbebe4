import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { DiagnosticSession } from "#protocol/api/diagnostic-session.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { connect, opening, operator, register } from "./remote-vehicle.ts";

let gateway: TestGateway;
let ann: Caller;
let vin: string;
let counter = 0;

beforeAll(async () => {
  gateway = await startGateway({ maintenance: { interval_s: 3600 } });
  ann = await operator(gateway, "ann", "diagnostician");
});
afterAll(() => gateway.close());
beforeEach(async () => {
  vin = `VMG-A${++counter}`;
  await register(gateway, vin);
});

const api = "/api/v1/diagnostics/sessions";
const open = (by: Caller = ann, body: object = {}) =>
  by.send("POST", api, { body: { vin, ecu_id: "ECU_001", ...body } });
/** The extended session needs somebody's approval. */
const ruleFor = async (vehicle: string, more: object = {}) => {
  const body = {
    position: counter,
    effect: "approve",
    description: "two pairs of eyes",
    vehicles: [vehicle],
    requests: [{ service: "10", sub_function: "03" }],
    ...more,
  };
  const answer = await gateway.admin.send("POST", "/api/v1/diagnostics/policy/rules", { body });
  expect(answer.status).toBe(201);
};
const read = async (id: string) =>
  (await gateway.admin.send("GET", `${api}/${id}`)).json as DiagnosticSession;
const ended = (id: string) =>
  vi.waitFor(
    async () => {
      const session = await read(id);
      expect(session.status).toBe("ended");
      return session;
    },
    { timeout: 10_000 },
  );

describe("approval by a second operator", () => {
  const approve = async (subject: string, verdict: "approve" | "reject") => {
    const { json } = await gateway.admin.send("GET", `/api/v1/diagnostics/approvals?vin=${vin}`);
    const { items } = json as { items: { approval_id: string; subject: string }[] };
    const id = items.find((each) => each.subject === subject)?.approval_id;
    const path = `/api/v1/diagnostics/approvals/${id}/${verdict}`;
    const answer = await gateway.admin.send("POST", path, { body: {} });
    expect(answer.status).toBe(200);
  };

  it("opens a session that a rule holds back; until then nobody is kept out", async () => {
    const vehicle = opening(await connect(gateway, vin));
    await ruleFor(vin);
    const held = await open();
    expect(held).toMatchObject({ status: 202, json: { status: "awaiting_approval" } });
    const other = (await open(ann, { uds_session: "01" })).json as DiagnosticSession;
    expect(other.status).toBe("open");
    await ann.send("DELETE", `${api}/${other.session_id}`);
    await approve(held.json.session_id as string, "approve");
    await vi.waitFor(async () =>
      expect(await read(held.json.session_id as string)).toMatchObject({ status: "open" }),
    );
    expect(vehicle.told.filter(({ kind }) => kind === "open_session")).toHaveLength(2);
  });

  it("lets a takeover wait, too: the holder goes on until it is approved", async () => {
    const vehicle = opening(await connect(gateway, vin));
    const holder = (await open(ann, { uds_session: "01" })).json as DiagnosticSession;
    await ruleFor(vin);
    const manager = await operator(gateway, "mia", "release_manager", {
      diagnostic_level: "control",
    });
    const path = `${api}/${holder.session_id}/takeover`;
    const taking = await manager.send("POST", path, { body: { uds_session: "03" } });
    expect(taking.json).toMatchObject({ status: "awaiting_approval", operator: "mia" });
    expect(await read(holder.session_id)).toMatchObject({ status: "open" });
    await approve(taking.json.session_id as string, "approve");
    expect(await read(holder.session_id)).toMatchObject({ end_reason: "taken_over" });
    await vi.waitFor(async () =>
      expect(await read(taking.json.session_id as string)).toMatchObject({ status: "open" }),
    );
    expect(vehicle.told.map(({ kind }) => kind)).toEqual([
      "open_session",
      "close_session",
      "open_session",
    ]);
  });

  it("that comes too late takes over nobody, and opens nothing that is denied by then", async () => {
    const vehicle = opening(await connect(gateway, vin));
    const holder = (await open(ann, { uds_session: "01" })).json as DiagnosticSession;
    await ruleFor(vin);
    const manager = await operator(gateway, "max", "release_manager", {
      diagnostic_level: "control",
    });
    const path = `${api}/${holder.session_id}/takeover`;
    const body = { uds_session: "03" };
    const given = (await manager.send("POST", path, { body })).json as DiagnosticSession;
    await manager.send("DELETE", `${api}/${given.session_id}`);
    await approve(given.session_id, "approve");
    const denied = (await manager.send("POST", path, { body })).json as DiagnosticSession;
    await ruleFor(vin, { effect: "deny", position: 0 });
    await approve(denied.session_id, "approve");
    expect(await ended(denied.session_id)).toMatchObject({
      end_reason: "denied",
      error: { code: "DIAGNOSTIC_DENIED" },
    });
    expect(await read(holder.session_id)).toMatchObject({ status: "open" });
    expect(vehicle.told).toHaveLength(1);
  });

  it("that is refused ends it as denied, as does an ECU that is kept by somebody else then", async () => {
    const vehicle = opening(await connect(gateway, vin));
    await ruleFor(vin);
    const first = (await open()).json as DiagnosticSession;
    await approve(first.session_id, "reject");
    expect(await ended(first.session_id)).toMatchObject({
      end_reason: "denied",
      ended_by: "operator:first-admin",
    });
    const second = (await open()).json as DiagnosticSession;
    const holder = (await open(ann, { uds_session: "01" })).json as DiagnosticSession;
    await approve(second.session_id, "approve");
    expect(await ended(second.session_id)).toMatchObject({
      end_reason: "denied",
      error: { code: "SESSION_EXISTS", message: expect.stringContaining(holder.session_id) },
    });
    expect(await read(holder.session_id)).toMatchObject({ status: "open" });
    expect(vehicle.told).toHaveLength(1);
  });
});
