import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import type { DiagnosticRequest } from "#protocol/mqtt/diagnostics.ts";
import { endUnsent, insertRequest } from "#server/diagnostics/queries.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { connect, operator, register } from "#test/server/diagnostic-sessions/remote-vehicle.ts";
import { ownDatabase } from "#test/server/own-database.ts";

const api = "/api/v1/diagnostics";
let gateway: TestGateway;
let vin: string;
let counter = 0;

beforeAll(async () => {
  gateway = await startGateway({ maintenance: { interval_s: 3600 } });
});
afterAll(() => gateway.close());
beforeEach(async () => {
  vin = `VMG-V${++counter}`;
  await register(gateway, vin);
});

/** A vehicle that answers nothing. */
async function silent() {
  const vehicle = await connect(gateway, vin);
  const asked: DiagnosticRequest[] = [];
  vehicle.client.on("message", (topic, payload) => {
    if (topic.endsWith("/diagnostics"))
      asked.push(JSON.parse(payload.toString()) as DiagnosticRequest);
  });
  await vehicle.client.subscribeAsync(`vehicle/${vin}/diagnostics`, { qos: 1 });
  return { ...vehicle, asked };
}

async function send(as: Caller, more: object = {}): Promise<string> {
  const body = { vin, ecu_id: "ECU_001", service_id: "22", data: "F190", ...more };
  const { json } = await as.send("POST", `${api}/send`, { body });
  return json.request_id as string;
}
const result = async (id: string) =>
  (await gateway.admin.send("GET", `${api}/results/${id}?wait_ms=20000`)).json;

describe("a request on its way when it is revoked", () => {
  it("with its operator's token is forgotten by the vehicle, and not sent again", async () => {
    const { token_id, ...leaver } = await operator(gateway, "leaver", "diagnostician");
    const vehicle = await silent();
    const id = await send(leaver, { timeout_ms: 1000 });
    const other = await send(gateway.admin, { timeout_ms: 1000 });
    await vi.waitFor(() => expect(vehicle.asked).toHaveLength(2));
    await gateway.admin.send("DELETE", `/api/v1/operators/tokens/${token_id}`);
    expect(await vehicle.was("cancel_request")).toMatchObject({ request_id: id });
    expect(await result(id)).toMatchObject({
      status: "denied",
      attempts: 1,
      error: { code: "OPERATOR_REVOKED" },
    });
    expect(await result(other)).toMatchObject({ status: "timeout", attempts: 3 });
    expect(vehicle.told.filter(({ kind }) => kind === "cancel_request")).toHaveLength(1);
  });

  it("with everything at its vehicle is not sent again; what is asked for later is", async () => {
    const vehicle = await silent();
    const id = await send(gateway.admin, { timeout_ms: 1000 });
    await vi.waitFor(() => expect(vehicle.asked).toHaveLength(1));
    await gateway.admin.send("POST", `${api}/revoke`, { body: { vin, reason: "smoke" } });
    const later = await send(gateway.admin, { timeout_ms: 300 });
    expect(await result(id)).toMatchObject({
      status: "denied",
      attempts: 1,
      error: { code: "DIAGNOSTIC_DENIED", message: "revoked: smoke" },
    });
    expect(await result(later)).toMatchObject({ status: "timeout", attempts: 3 });
  });
});

it("a revocation that comes to a gateway late ends nothing that was asked for after it", async () => {
  const { db, remove } = await ownDatabase();
  onTestFinished(remove);
  await db.insertInto("vehicle").values({ vin }).execute();
  const stored = async (ask: string) => {
    const request_id = randomUUID();
    const created_at = await insertRequest(
      db,
      {
        request_id,
        vin,
        ecu_id: "ECU_001",
        zone_id: null,
        request_data: Buffer.from(ask, "hex"),
        timeout_ms: 1000,
        max_attempts: 1,
        requested_by: "ann",
        token_id: randomUUID(),
        session_id: null,
        idempotency_key: null,
        ttl_s: 60,
        expires_at: new Date(Date.now() + 60_000),
      },
      "queued",
    );
    return { request_id, created_at };
  };
  const before = await stored("22F190");
  const until = new Date(Number(before.created_at) + 1);
  await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(Number(until)));
  await stored("22F191");
  const ended = await endUnsent(db, { vin, until }, "denied", { code: "REVOKED", message: "" });
  expect(ended.map(({ request_id }) => request_id)).toEqual([before.request_id]);
});

it("many requests with one idempotency key wait for one approval", async () => {
  const rule = { position: 1, effect: "approve", description: "two people", vehicles: [vin] };
  await gateway.admin.send("POST", `${api}/policy/rules`, { body: rule });
  const ids = await Promise.all(
    Array.from({ length: 8 }, () => send(gateway.admin, { idempotency_key: "once" })),
  );
  const [id] = ids as [string];
  expect(new Set(ids)).toEqual(new Set([id]));
  const { json } = await gateway.admin.send("GET", `${api}/approvals?vin=${vin}`);
  expect(json.items).toMatchObject([{ subject: id, state: "pending" }]);
});
