import Fastify from "fastify";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createAuditLog } from "#server/audit/audit-log.ts";
import { auditChanges } from "#server/audit/changes.ts";
import { entriesAfter } from "#server/audit/queries.ts";
import { publish } from "#test/helpers/fleet-data.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { ownDatabase } from "#test/server/own-database.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());

async function audited(query: string) {
  const { json } = await gateway.admin.send("GET", `/api/v1/audit?${query}`);
  return (json as { items: object[] }).items;
}

describe("a change by an operator", () => {
  it("is in the audit log when it is answered: who, what, and what about", async () => {
    const made = await gateway.admin.send("POST", "/api/v1/operators/tokens", {
      body: { name: "releases", role: "release_manager" },
    });
    const { token, token_id } = made.json as { token: string; token_id: string };
    const caller = gateway.operator(token);
    const { firmware_id } = await publish(caller, { ecu_type: "brake", version: "1.2.3" });
    const body = { release_notes: "n" };
    const answer = await caller.send("PATCH", `/api/v1/firmware/${firmware_id}`, { body });
    expect(answer.status).toBe(200);
    const actor = "operator:releases";
    expect(await audited(`subject=${firmware_id}`)).toEqual([
      expect.objectContaining({
        actor,
        action: "PATCH /firmware/{firmware_id}",
        detail: {
          status: 200,
          token_id,
          params: { firmware_id },
          body,
        },
      }),
      expect.objectContaining({ actor, action: "POST /firmware" }),
    ]);
  });

  it("is there with all that counted, whatever else was sent", async () => {
    const vehicle = await gateway.vehicle("VMG-002");
    await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin: "VMG-002" } });
    const others = Array.from({ length: 200 }, (_, at) => [`x${at}`, "x".repeat(512)] as const);
    const body = { command: "ota_update", params: { force: true } };
    const answer = await gateway.admin.send("POST", "/api/v1/vehicles/VMG-002/commands", {
      body: { ...Object.fromEntries(others), ...body },
    });
    expect(answer.status).toBe(202);
    const [entry] = await audited("vin=VMG-002");
    expect(entry).toMatchObject({ detail: { body } });
  });

  it("in which the gateway fails is there, too: some of it may be done", async () => {
    const own = await ownDatabase();
    const http = Fastify();
    onTestFinished(async () => {
      await http.close();
      await own.remove();
    });
    const operator = {
      name: "alice",
      role: "admin",
      token_id: "t",
      diagnostic_level: "none",
    } as const;
    http.decorateRequest("caller");
    http.addHook("onRequest", async (request) => {
      request.caller = { kind: "operator", operator };
    });
    auditChanges(http, createAuditLog({ db: own.db }));
    http.post("/half", async () => {
      throw new Error("after the first half");
    });
    expect((await http.inject({ method: "POST", url: "/half" })).statusCode).toBe(500);
    expect(await entriesAfter(own.db, { after: 0, limit: 2 })).toEqual([
      expect.objectContaining({ actor: "operator:alice", action: "POST /half" }),
    ]);
  });

  it("that was refused is not, nor is reading, nor what a vehicle does", async () => {
    const { json: before } = await gateway.admin.send("GET", "/api/v1/audit/head");
    const vehicle = await gateway.vehicle("VMG-001");
    await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin: "VMG-001" } });
    await gateway.admin.send("GET", "/api/v1/vehicles");
    const bad = await gateway.admin.send("PATCH", "/api/v1/vehicles/VMG-001", { body: { x: 1 } });
    expect(bad.status).toBe(400);
    const { json: after } = await gateway.admin.send("GET", "/api/v1/audit/head");
    expect(after).toEqual(before);
  });

  it("of a vehicle is found by the vehicle", async () => {
    const body = { region: "eu" };
    await gateway.admin.send("PATCH", "/api/v1/vehicles/VMG-001", { body });
    const [entry] = await audited("vin=VMG-001");
    expect(entry).toMatchObject({
      actor: "operator:first-admin",
      action: "PATCH /vehicles/{vin}",
      detail: { status: 200, body },
    });
    expect((await gateway.admin.send("DELETE", "/api/v1/vehicles/VMG-001")).status).toBe(204);
    const [removed] = await audited("vin=VMG-001");
    expect(removed).toMatchObject({ action: "DELETE /vehicles/{vin}", detail: { status: 204 } });
  });
});
