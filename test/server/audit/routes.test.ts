import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AUDIT_START, type AuditEntry } from "#protocol/api/audit.ts";
import { jcs } from "#protocol/bytes/jcs.ts";
import { createAuditLog } from "#server/audit/audit-log.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";
import { startAuditGateway } from "./audit-gateway.ts";

/** More than one read of the export. */
const MANY = 600;

let own: OwnDatabase;
let gateway: Awaited<ReturnType<typeof startAuditGateway>>;
let entries: AuditEntry[];

beforeAll(async () => {
  own = await ownDatabase();
  gateway = await startAuditGateway(own);
  let time = Date.parse("2026-03-01T00:00:00Z");
  const audit = createAuditLog({ db: own.db, now: () => new Date((time += 1000)) });
  const request = { actor: "operator:alice", action: "diagnostics.request", subject: "s-1" };
  const answer = { actor: "vehicle:VMG-001", action: "diagnostics.answer", subject: "s-1" };
  await Promise.all([
    audit.append({ ...request, vin: "VMG-001", ecu_id: "ECU_001", request: Buffer.of(0x22) }),
    audit.append({ ...request, vin: "VMG-001", ecu_id: "ECU_002" }),
    audit.append({ ...request, vin: "VMG-002", ecu_id: "ECU_001", subject: "s-2" }),
    audit.append({ ...answer, vin: "VMG-001" }),
    ...Array.from({ length: MANY }, () => audit.append({ actor: "gateway", action: "filler" })),
  ]);
  entries = (await list("to=2026-03-01T00:00:05Z")).items;
});
afterAll(async () => {
  await gateway.close();
  await own.remove();
});

async function list(query: string) {
  const { text } = await gateway.send("GET", `/audit?${query}`);
  return JSON.parse(text) as { items: AuditEntry[]; next_cursor: string | null };
}
const seqs = async (query: string) => (await list(query)).items.map(({ seq }) => seq);

describe("GET /audit", () => {
  it("shows the newest first", () => {
    expect(entries.map(({ seq }) => seq)).toEqual([4, 3, 2, 1]);
    expect(entries.at(-1)).toMatchObject({
      actor: "operator:alice",
      request: "22",
      response: null,
      prev_hash: AUDIT_START.hash,
    });
  });

  it.each([
    ["vin=VMG-001", [4, 2, 1]],
    ["vin=VMG-001&ecu_id=ECU_001", [1]],
    ["actor=vehicle:VMG-001", [4]],
    ["action=diagnostics.request", [3, 2, 1]],
    ["subject=s-1", [4, 2, 1]],
    ["to=2026-03-01T00:00:02Z", [1]],
    ["from=2026-03-01T00:00:02Z&to=2026-03-01T00:00:04Z", [3, 2]],
    ["vin=VMG-404", []],
  ])("finds by %s", async (query, found) => {
    expect(await seqs(query)).toEqual(found);
  });

  it("goes on from where a page ended", async () => {
    const first = await list("vin=VMG-001&limit=2");
    expect(first).toMatchObject({ next_cursor: "2", items: [{ seq: 4 }, { seq: 2 }] });
    expect(await seqs("vin=VMG-001&limit=2&cursor=2")).toEqual([1]);
  });
});

describe("GET /audit/export", () => {
  it("is the whole chain in its order, each line in the form of RFC 8785", async () => {
    const { text, headers } = await gateway.send("GET", "/audit/export");
    expect(headers["content-type"]).toBe("application/x-ndjson");
    const lines = text.split("\n");
    expect(lines.pop()).toBe("");
    expect(lines).toHaveLength(4 + MANY);
    const exported = lines.map((line) => JSON.parse(line) as AuditEntry);
    expect(exported.slice(0, 4)).toEqual(entries.toReversed());
    expect(exported.map(jcs)).toEqual(lines);
    const head = await gateway.send("GET", "/audit/head");
    expect(JSON.parse(head.text)).toEqual({ seq: 4 + MANY, hash: exported.at(-1)?.hash });
  });

  it("says to HEAD what it is", async () => {
    const { status, text, headers } = await gateway.send("HEAD", "/audit/export");
    expect([status, text]).toEqual([200, ""]);
    expect(headers["content-type"]).toBe("application/x-ndjson");
  });
});
