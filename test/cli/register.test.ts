import { randomUUIDv7 } from "node:crypto";
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AuditEntry } from "#protocol/api/audit.ts";
import {
  REGISTER_ENTERED,
  registerHash,
  type RegisterEntry,
  type ResultRecord,
} from "#protocol/api/register.ts";
import { jcs } from "#protocol/bytes/jcs.ts";
import { createAuditLog } from "#server/audit/audit-log.ts";
import { auditRoutes } from "#server/audit/routes.ts";
import { insertRecord, listRecords } from "#server/history/register-queries.ts";
import { registerRoutes } from "#server/history/register-routes.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";
import { serveRoutes } from "#test/server/own-routes.ts";
import { run } from "./run-latticeway.ts";

let own: OwnDatabase;
let gateway: Awaited<ReturnType<typeof serveRoutes>>;
let env: Record<string, string>;
/** Exports of both, with one record entered after the first two. */
let register: RegisterEntry[];
let audit: AuditEntry[];

const resultRecord = (vin: string): ResultRecord => ({
  kind: "result",
  record_id: randomUUIDv7(),
  update_id: randomUUIDv7(),
  vin,
  at: "2026-06-01T00:00:00.000Z",
  rxswins: ["R79-A"],
  issued: { record_id: randomUUIDv7(), hash: "0".repeat(64) },
  ...{ status: "success", error: null, started_at: null, vci: null, ecus: [] },
});

async function add(vin: string): Promise<void> {
  const record = resultRecord(vin);
  await own.db.transaction().execute((tx) => insertRecord(tx, record, registerHash(record)));
}

async function exported<Entry>(path: string): Promise<Entry[]> {
  const { text } = await gateway.send("auditor", "GET", path);
  const lines = text.split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Entry);
}

beforeAll(async () => {
  own = await ownDatabase();
  const routes = [auditRoutes(own), registerRoutes(own)];
  gateway = await serveRoutes(own.folder, routes, {
    auditor: { role: "admin", diagnostic_level: "none" },
  });
  env = {
    LATTICEWAY_URL: gateway.url,
    LATTICEWAY_TOKEN: "auditor",
    LATTICEWAY_CA: gateway.caFile,
  };
  await add("VMG-001");
  await add("VMG-002");
  await exported("/register/export");
  await createAuditLog(own).append({ actor: "operator:ann", action: "policy.changed" });
  await add("VMG-003");
  register = await exported("/register/export");
  audit = await exported("/audit/export");
});
afterAll(async () => {
  await gateway.close();
  await own.remove();
});

const verify = (...args: string[]) => run(env, "register", "verify", ...args);

const linesOf = (entries: readonly object[]) => entries.map((entry) => `${jcs(entry)}\n`).join("");

/** Verifies files with these lines, without a gateway. */
async function verifyFiles(text: string, ...args: string[]) {
  const folder = mkdtempSync(join(own.folder, "auditor-"));
  const files = { register: join(folder, "register"), audit: join(folder, "audit") };
  writeFileSync(files.register, text);
  writeFileSync(files.audit, linesOf(audit));
  const offline = { LATTICEWAY_URL: "", LATTICEWAY_TOKEN: "", XDG_CONFIG_HOME: folder };
  return run(offline, "register", "verify", files.register, "--audit", files.audit, ...args);
}

const withRecord = (index: number, change: Partial<ResultRecord>): RegisterEntry[] => {
  const entry = register[index] as RegisterEntry;
  const record = { ...entry.record, ...change } as ResultRecord;
  return register.with(index, { ...entry, record, hash: registerHash(record) });
};

describe("latticeway register verify of exported files", () => {
  it("finds a register to be as it was, and gives the log's anchor to keep", async () => {
    const { exitCode, output } = await verifyFiles(linesOf(register));
    expect(exitCode).toBe(0);
    expect(output).toContain("The register holds: 3 records");
    expect(output).toContain("The chain holds: 3 entries");
    const head = audit.at(-1);
    expect(output.split("\n").at(-1)).toBe(`3:${head?.hash}`);
    const missed = `4:${head?.hash}`;
    expect((await verifyFiles(linesOf(register), "--anchor", missed)).errors).toContain(
      "AUDIT_ANCHOR_MISSED",
    );
  });

  it.each<[string, () => string, string, number]>([
    ["a record with other words", () => linesOf(changed(1)), "ALTERED", 1],
    [
      "one with other words and a hash that fits",
      () => linesOf(withRecord(1, { vin: "VMG-009" })),
      "ALTERED",
      1,
    ],
    [
      "two records of one id",
      () => linesOf([...register, ...withRecord(1, { vin: "VMG-009" })]),
      "ALTERED",
      1,
    ],
    ["a record that names another entry", () => linesOf(elsewhere(1)), "ALTERED", 1],
    ["one record less", () => linesOf(register.toSpliced(1, 1)), "REMOVED", 1],
    ["the last cut off", () => linesOf(register.slice(0, 2)), "REMOVED", 2],
    ["none at all", () => "", "REMOVED", 0],
  ])("names the first of %s", async (_what, text, fault, index) => {
    const { exitCode, errors } = await verifyFiles(text());
    expect([exitCode, errors]).toEqual([1, expect.stringContaining(`REGISTER_RECORD_${fault}`)]);
    expect(errors).toContain(register[index]?.record.record_id);
  });

  it("names one that the log has never had", async () => {
    const extra = withRecord(2, { record_id: randomUUIDv7() });
    const { exitCode, errors } = await verifyFiles(linesOf([...register, ...extra]));
    expect([exitCode, errors]).toEqual([1, expect.stringContaining("REGISTER_RECORD_UNENTERED")]);
    expect(errors).toContain(extra[2]?.record.record_id);
  });

  it.each<[string, (text: string) => string]>([
    ["with a member twice", (text) => text.replace('{"audit_seq"', '{"audit_seq":1,"audit_seq"')],
    [
      "with a member that no hash covers",
      (text) => text.replace('{"audit_seq"', '{"a":1,"audit_seq"'),
    ],
    ["cut in its last line", (text) => text.slice(0, -1)],
    ["of CSV", () => "at,kind,vin\n"],
  ])("refuses a file %s", async (_what, change) => {
    const { exitCode, errors } = await verifyFiles(change(linesOf(register)));
    expect([exitCode, errors]).toEqual([1, expect.stringContaining("REGISTER_LINE_MALFORMED")]);
  });

  it("misses nothing that was entered later, or that was not asked for", async () => {
    const earlier = linesOf(register.slice(0, 2));
    const until = audit[1]?.at ?? "";
    expect((await verifyFiles(earlier, "--until", until)).exitCode).toBe(0);
    expect((await verifyFiles("", "--until", until)).errors).toContain("REGISTER_RECORD_REMOVED");
    const part = await verifyFiles(linesOf(register.slice(2)), "--part");
    expect([part.exitCode, part.output]).toEqual([0, expect.stringContaining("1 records")]);
  });

  const changed = (index: number): RegisterEntry[] => {
    const entry = register[index] as RegisterEntry;
    return register.with(index, { ...entry, record: { ...entry.record, vin: "VMG-009" } });
  };
  const elsewhere = (index: number): RegisterEntry[] =>
    register.with(index, { ...(register[index] as RegisterEntry), audit_seq: 2 });
});

describe("latticeway register verify at a gateway", () => {
  it("finds its register to be as it was, whatever is not entered yet", async () => {
    expect((await verify()).output).toContain("The register holds: 3 records");
    await add("VMG-004");
    // Whoever exports at the same time leaves it out: what is in the file is in the log.
    const page = { limit: 10, order: "asc" } as const;
    expect(await listRecords(own.db, { isEntered: true }, page)).toHaveLength(3);
    expect(await listRecords(own.db, {}, page)).toHaveLength(4);
    const { exitCode, output } = await verify();
    expect([exitCode, output]).toEqual([0, expect.stringContaining("4 records")]);
    register = await exported("/register/export");
    audit = await exported("/audit/export");
  });

  it("takes files and the gateway's log", async () => {
    const file = join(own.folder, "register.ndjson");
    writeFileSync(file, linesOf(register));
    expect((await verify(file)).exitCode).toBe(0);
    writeFileSync(file, linesOf(withRecord(0, { vin: "VMG-009" })));
    expect((await verify(file)).errors).toContain("REGISTER_RECORD_ALTERED");
    const usage = await verify("--part");
    expect([usage.exitCode, usage.errors]).toEqual([2, expect.stringContaining("COMMAND_USAGE")]);
  });

  it("lets nobody pass who owns the database, also not by entering what was altered", async () => {
    const [altered] = withRecord(0, { vin: "VMG-009" }) as [RegisterEntry];
    const { record_id } = altered.record;
    await sql`alter table register_record disable trigger all`.execute(own.db);
    await sql`update register_record set record = ${JSON.stringify(altered.record)},
      hash = ${Buffer.from(altered.hash, "hex")} where record_id = ${record_id}`.execute(own.db);
    const records = [{ record_id, hash: altered.hash }];
    await createAuditLog(own).append({
      actor: "gateway",
      action: REGISTER_ENTERED,
      detail: { records },
    });
    const found = await verify();
    expect([found.exitCode, found.errors]).toEqual([1, expect.stringContaining(record_id)]);
    expect(found.errors).toContain("is not what entry 1 of the audit log has");

    await sql`delete from register_record where record_id = ${record_id}`.execute(own.db);
    expect((await verify()).errors).toContain("REGISTER_RECORD_REMOVED");
  });
});
