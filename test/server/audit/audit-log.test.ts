import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { AUDIT_START, auditHash, type AuditEntry } from "#protocol/api/audit.ts";
import { appendEntry, createAuditLog } from "#server/audit/audit-log.ts";
import { auditHead, entriesAfter, listEntries } from "#server/audit/queries.ts";
import { openDatabase } from "#server/database/connection.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";

let own: OwnDatabase;
beforeAll(async () => {
  own = await ownDatabase();
});
afterAll(() => own.remove());

const everything = async () => entriesAfter(own.db, { after: 0, limit: 10_000 });

/** Holds the log to what its hashes say. */
function expectChain(entries: AuditEntry[]): void {
  let before = AUDIT_START;
  for (const { prev_hash, hash, ...content } of entries) {
    expect(content.seq).toBe(before.seq + 1);
    expect(prev_hash).toBe(before.hash);
    expect(hash).toBe(auditHash(prev_hash, content));
    before = { seq: content.seq, hash };
  }
}

describe("the audit log", () => {
  it("keeps every member of an entry as it was hashed", async () => {
    const audit = createAuditLog({ db: own.db, now: () => new Date("2026-05-04T03:02:01.007Z") });
    const subject = randomUUID();
    await audit.append({
      actor: "operator:Zoë",
      action: "diagnostics.request",
      vin: "VMG-001",
      ecu_id: "ECU_001",
      subject,
      request: Buffer.from("22f190", "hex"),
      response: Buffer.from("7f2231", "hex"),
      detail: {
        b: 0.1,
        a: [1e21, -0, null, "\u2028\n\\u0000"],
        left_out: undefined,
        "9": 1,
        "10": 2,
      },
    });
    const [entry] = await listEntries(own.db, { limit: 1, subject });
    expect(entry).toMatchObject({
      at: "2026-05-04T03:02:01.007Z",
      actor: "operator:Zoë",
      request: "22F190",
      response: "7F2231",
      detail: { b: 0.1, a: [1e21, 0, null, "\u2028\n\\u0000"], "9": 1, "10": 2 },
    });
    expectChain(await everything());
  });

  it("has the bare minimum of an entry, too", async () => {
    const audit = createAuditLog({ db: own.db });
    await audit.append({ actor: "gateway", action: "bare" });
    const [entry] = await listEntries(own.db, { limit: 1, action: "bare" });
    expect(entry).toMatchObject({ vin: null, request: null, response: null, detail: null });
    expectChain(await everything());
  });

  it("holds what a name can bring along to what the database keeps", async () => {
    const audit = createAuditLog({ db: own.db });
    const actor = `operator:\0\ud83d${"x".repeat(200)}`;
    await audit.append({ actor, action: "odd" });
    const [entry] = await listEntries(own.db, { limit: 1, action: "odd" });
    expect(entry?.actor).toBe(`operator:\uFFFD\uFFFD${"x".repeat(117)}`);
    expectChain(await everything());
  });

  it.each([
    ["U+0000", { text: "a\0b" }],
    ["half a surrogate pair", { "\ud83d": 1 }],
    ["no end", { text: "x".repeat(262_144) }],
  ])("refuses a detail with %s, and takes what comes beside it", async (_name, detail) => {
    const audit = createAuditLog({ db: own.db });
    const before = await auditHead(own.db);
    const [bad, good] = await Promise.allSettled([
      audit.append({ actor: "gateway", action: "bad", detail }),
      audit.append({ actor: "gateway", action: "good" }),
    ]);
    expect(bad).toMatchObject({ status: "rejected", reason: { name: "RangeError" } });
    expect(good.status).toBe("fulfilled");
    expect((await auditHead(own.db)).seq).toBe(before.seq + 1);
  });

  it("enters with a transaction what it tells of, or not at all", async () => {
    const before = await auditHead(own.db);
    const undone = own.db.transaction().execute(async (tx) => {
      await appendEntry(tx, { actor: "gateway", action: "undone" });
      throw new Error("undone");
    });
    await expect(undone).rejects.toThrow("undone");
    expect(await auditHead(own.db)).toEqual(before);
    await own.db
      .transaction()
      .execute((tx) => appendEntry(tx, { actor: "gateway", action: "done" }));
    expect((await auditHead(own.db)).seq).toBe(before.seq + 1);
    expectChain(await everything());
  });

  it.each([
    "update audit_entry set actor = 'operator:other'",
    "delete from audit_entry",
    "truncate audit_entry",
  ])("refuses: %s", async (statement) => {
    await expect(sql.raw(statement).execute(own.db)).rejects.toThrow(
      "entries of the audit log are final",
    );
  });

  it("waits for a transaction that is about to append", async ({ skip }) => {
    skip(own.kind === "embedded", "the embedded database has one transaction at a time");
    const audit = createAuditLog({ db: own.db });
    await audit.append({ actor: "gateway", action: "first" });
    const before = await auditHead(own.db);
    const appended = await own.db.transaction().execute(async (tx) => {
      await sql`select pg_advisory_xact_lock(hashtextextended('audit log', 0))`.execute(tx);
      const append = audit.append({ actor: "gateway", action: "second" });
      await vi.waitFor(async () => {
        const { rows } = await sql`
          select from pg_locks where locktype = 'advisory' and not granted
          and database = (select oid from pg_database where datname = current_database())
        `.execute(own.db);
        expect(rows).toHaveLength(1);
      });
      expect(await auditHead(tx)).toEqual(before);
      return { append };
    });
    await appended.append;
    expect((await auditHead(own.db)).seq).toBe(before.seq + 1);
  });

  it("is one chain, whoever appends", async () => {
    const before = await auditHead(own.db);
    // The embedded database takes one process alone.
    const other = own.kind === "embedded" ? own : await openDatabase(own.config, silentLog);
    const logs = [own, other, own, other].map(({ db }) => createAuditLog({ db }));
    const appended = Array.from({ length: 200 }, async (_, index) => {
      const entry = { actor: "gateway", action: `crowd.${index}` };
      if (index % 5 > 0) return logs[index % logs.length]?.append(entry);
      return own.db.transaction().execute((tx) => appendEntry(tx, entry));
    });
    await Promise.all(appended);
    if (other !== own) await other.close();
    const entries = await everything();
    expectChain(entries);
    const crowd = entries.filter(({ seq }) => seq > before.seq).map(({ action }) => action);
    expect(new Set(crowd).size).toBe(200);
  });
});
