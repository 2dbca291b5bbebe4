import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listEntries } from "#server/audit/queries.ts";
import { approvalRoutes } from "#server/diagnostic-policy/approval-routes.ts";
import { createApprovals, requestApproval } from "#server/diagnostic-policy/approvals.ts";
import { authorize } from "#server/diagnostic-policy/authorize.ts";
import { policyRoutes } from "#server/diagnostic-policy/routes.ts";
import type { Rule } from "#server/diagnostic-policy/rule.ts";
import type { Evidence } from "#server/vehicles/evidence.ts";
import { registerVehicle, saveVci } from "#server/vehicles/queries.ts";
import { sampleVci } from "#test/helpers/fleet-data.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";
import { serveRoutes } from "#test/server/own-routes.ts";

const vin = "VMG-001";
const nothing = "00000000-0000-7000-8000-000000000000";
const unsigned: Evidence = { evidence: "unsigned", nonce: null, digest: null, attacks: [] };
const rules = "/diagnostics/policy/rules";
let own: OwnDatabase;
let gateway: Awaited<ReturnType<typeof serveRoutes>>;

beforeAll(async () => {
  own = await ownDatabase();
  const { db } = own;
  const approvals = createApprovals({ db, log: silentLog });
  gateway = await serveRoutes(
    own.folder,
    [policyRoutes({ db }), approvalRoutes({ db, approvals })],
    {
      root: { role: "admin", diagnostic_level: "control" },
      alice: { role: "diagnostician", diagnostic_level: "control" },
      writer: { role: "diagnostician", diagnostic_level: "write" },
    },
  );
  await registerVehicle(db, { vin });
  await registerVehicle(db, { vin: "VMG-002" });
  await db.transaction().execute((tx) => saveVci(tx, vin, sampleVci(), unsigned));
});
afterAll(async () => {
  await gateway.close();
  await own.remove();
});

const noResets = {
  position: 10,
  effect: "deny",
  description: "No resets of brakes",
  ecu_types: ["brake"],
  requests: [{ service: "11" }],
};

async function addRule(rule: object): Promise<Rule> {
  const answer = await gateway.send("root", "POST", rules, rule);
  expect(answer.status).toBe(201);
  return answer.json as Rule;
}
const codeOf = ({ json }: { json: unknown }) => (json as { code: string }).code;

describe("the rules", () => {
  it("are added, replaced and removed, and every change is in the audit log", async () => {
    const second = await addRule({ ...noResets, position: 20 });
    const first = await addRule(noResets);
    expect(first).toMatchObject({ ...noResets, changed_by: "root" });
    const all = await gateway.send("root", "GET", rules);
    expect(all.json).toEqual({ items: [first, second] });

    const path = `${rules}/${second.rule_id}`;
    const later = { ...noResets, effect: "approve", position: 5 };
    const replaced = (await gateway.send("root", "PUT", path, later)).json as Rule;
    expect(replaced).toMatchObject({ ...later, rule_id: second.rule_id });
    expect((await gateway.send("root", "GET", rules)).json).toEqual({ items: [replaced, first] });

    expect((await gateway.send("root", "DELETE", path)).status).toBe(204);
    expect(codeOf(await gateway.send("root", "DELETE", path))).toBe("DIAGNOSTIC_RULE_UNKNOWN");
    expect(codeOf(await gateway.send("root", "PUT", path, later))).toBe("DIAGNOSTIC_RULE_UNKNOWN");
    await gateway.send("root", "DELETE", `${rules}/${first.rule_id}`);

    const entries = await listEntries(own.db, { subject: second.rule_id, limit: 10 });
    expect(entries).toMatchObject([
      { actor: "operator:root", detail: { before: replaced, after: null } },
      { action: "policy.changed", detail: { before: second, after: replaced } },
      { action: "policy.changed", detail: { before: null, after: second } },
    ]);
  });

  it.each<[string, object]>([
    ["a range that ends before it begins", { did: "F19F-F190" }],
    ["a DID of a service without", { service: "31", did: "F190" }],
    ["a RID of a service without", { service: "22", rid: "F190" }],
    ["a DID and a RID", { did: "F190", rid: "FF00" }],
    ["a sub-function of a service without", { service: "22", sub_function: "01" }],
    [
      "a sub-function and a DID of different services",
      { service: "22-24", sub_function: "01", did: "F190" },
    ],
  ])("that no request can fit are refused: %s", async (_name, pattern) => {
    const answer = await gateway.send("root", "POST", rules, { ...noResets, requests: [pattern] });
    expect(codeOf(answer)).toBe("DIAGNOSTIC_RULE_INVALID");
  });

  it.each<[string, object]>([
    ["an empty list", { operators: [] }],
    ["an empty pattern", { requests: [{}] }],
    ["a word of no rule", { vehicle: ["VMG-001"] }],
    ["a star in the middle", { vehicles: ["VMG-*1"] }],
    ["half a DID", { requests: [{ did: "F1" }] }],
    ["another effect", { effect: "permit" }],
  ])("that say nothing certain are refused: %s", async (_name, part) => {
    const answer = await gateway.send("root", "POST", rules, { ...noResets, ...part });
    expect(codeOf(answer)).toBe("REQUEST_INVALID");
  });

  it("have an end", async () => {
    await own.db
      .insertInto("diagnostic_rule")
      .values(
        Array.from({ length: 200 }, () => ({
          rule_id: crypto.randomUUID(),
          position: 1_000_000,
          effect: "allow" as const,
          description: "filler",
          scope: JSON.stringify({ operators: ["nobody"] }),
          changed_by: "root",
        })),
      )
      .execute();
    expect(codeOf(await gateway.send("root", "POST", rules, noResets))).toBe(
      "DIAGNOSTIC_RULES_FULL",
    );
    await own.db.deleteFrom("diagnostic_rule").execute();
  });
});

describe("POST /diagnostics/policy/check", () => {
  const operator = { name: "alice", role: "diagnostician", diagnostic_level: "write" };
  const check = (body: object) =>
    gateway.send("root", "POST", "/diagnostics/policy/check", {
      operator,
      vin,
      ecu_ids: ["ECU_001"],
      request: "11 01",
      ...body,
    });

  it("says which rule decides, as it will be for the operator", async () => {
    const rule = await addRule(noResets);
    expect((await check({})).json).toEqual({
      effect: "deny",
      reason: `rule 10 "No resets of brakes" (${rule.rule_id}) denies 11 01 to ECU_001 of VMG-001`,
      level: "control",
      rule,
    });
    expect((await check({ ecu_ids: ["ECU_003"] })).json).toEqual({
      effect: "deny",
      reason: "11 01 to ECU_003 of VMG-001 needs the level control, the operator has write",
      level: "control",
      rule: null,
    });
    expect((await check({ request: "22F190" })).json).toMatchObject({ effect: "allow" });

    const alice = { ...operator, token_id: nothing } as Parameters<typeof authorize>[1]["operator"];
    const ecus = [{ ecu_id: "ECU_001", ecu_type: "brake" }];
    const ask = { operator: alice, vin, ecus, requests: [Buffer.from("1101", "hex")] };
    await expect(authorize(own.db, ask)).rejects.toMatchObject({
      code: "DIAGNOSTIC_DENIED",
      rule_id: rule.rule_id,
      message: expect.stringContaining("No resets of brakes") as string,
    });
    await gateway.send("root", "PUT", `${rules}/${rule.rule_id}`, {
      ...noResets,
      effect: "approve",
    });
    expect(await authorize(own.db, ask)).toMatchObject({ kind: "approval", level: "control" });
    await gateway.send("root", "PUT", `${rules}/${rule.rule_id}`, { ...noResets, effect: "allow" });
    expect(await authorize(own.db, ask)).toEqual({ kind: "allowed" });
    await gateway.send("root", "DELETE", `${rules}/${rule.rule_id}`);
  });

  it.each([
    [{ vin: "VMG-404" }, "VEHICLE_UNKNOWN"],
    [{ vin: "VMG-002" }, "VCI_MISSING"],
    [{ ecu_ids: ["ECU_404"] }, "ECU_UNKNOWN"],
    [{ request: "22 F" }, "DIAGNOSTIC_INVALID"],
    [{ ecu_ids: [] }, "REQUEST_INVALID"],
  ])("refuses %j: %s", async (body, code) => {
    expect(codeOf(await check(body))).toBe(code);
  });
});

describe("approvals", () => {
  const ask = (subject: string, requested_by: string) =>
    requestApproval(own.db, {
      subject_kind: "session",
      subject,
      vin,
      requested_by,
      reason: "rule 1",
      summary: "a session",
      expires_at: new Date(Date.now() + 60_000),
    });

  it("are listed, and decided by another operator of the level", async () => {
    const approval = await ask("00000000-0000-7000-8000-000000000001", "alice");
    const other = await ask("00000000-0000-7000-8000-000000000002", "root");
    const path = `/diagnostics/approvals/${approval}`;
    const decide = (name: string, verb: string) =>
      gateway.send(name, "POST", `${path}/${verb}`, { comment: "seen" });
    expect(codeOf(await decide("alice", "approve"))).toBe("APPROVAL_OWN");
    expect(codeOf(await decide("alice", "reject"))).toBe("APPROVAL_OWN");
    expect(codeOf(await decide("writer", "approve"))).toBe("APPROVAL_LEVEL_REQUIRED");
    expect((await decide("root", "approve")).json).toMatchObject({
      state: "approved",
      decided_by: "root",
      comment: "seen",
    });
    expect(codeOf(await decide("root", "reject"))).toBe("APPROVAL_DECIDED");
    const rejected = await gateway.send(
      "alice",
      "POST",
      `/diagnostics/approvals/${other}/reject`,
      {},
    );
    expect(rejected.json).toMatchObject({ state: "rejected", comment: null });
    const unknown = `/diagnostics/approvals/${nothing}/approve`;
    expect(codeOf(await gateway.send("root", "POST", unknown, {}))).toBe("APPROVAL_UNKNOWN");

    const list = async (query: string) =>
      (
        (await gateway.send("alice", "GET", `/diagnostics/approvals?${query}`)).json as {
          items: { approval_id: string }[];
        }
      ).items.map(({ approval_id }) => approval_id);
    expect(await list("")).toEqual([other, approval]);
    expect(await list("limit=1")).toEqual([other]);
    expect(await list(`cursor=${other}`)).toEqual([approval]);
    expect(await list("state=approved")).toEqual([approval]);
    expect(await list("vin=VMG-002")).toEqual([]);
    expect(await list("subject=00000000-0000-7000-8000-000000000002")).toEqual([other]);
  });
});
