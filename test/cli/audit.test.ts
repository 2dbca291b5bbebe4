import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CommanderError, type Command } from "commander";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { auditCommand } from "#cli/audit.ts";
import { auditHash, AUDIT_START, type AuditEntry } from "#protocol/api/audit.ts";
import { jcs } from "#protocol/bytes/jcs.ts";
import { createAuditLog } from "#server/audit/audit-log.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { PYTHON, requirePeer } from "#test/helpers/optional.ts";
import { startAuditGateway } from "#test/server/audit/audit-gateway.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";

let own: OwnDatabase;
let gateway: Awaited<ReturnType<typeof startAuditGateway>>;
let entries: AuditEntry[];
let exported: string;

beforeAll(async () => {
  own = await ownDatabase();
  gateway = await startAuditGateway(own);
  const audit = createAuditLog({ db: own.db });
  for (const action of ["diagnostics.request", "diagnostics.answer", "policy.changed"]) {
    await audit.append({
      actor: "operator:Zoë",
      action,
      vin: "VMG-001",
      ecu_id: "ECU_001",
      subject: "s-1",
      request: Buffer.from("22f190", "hex"),
      response: Buffer.from("62f19041", "hex"),
      detail: { comment: 'two\nlines, "quoted"', n: [1, { "10": 1, "9": 2 }] },
    });
  }
  exported = (await gateway.send("GET", "/audit/export")).text;
  entries = exported
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as AuditEntry);
  await sql`create table kept as select * from audit_entry`.execute(own.db);
  await sql`alter table audit_entry disable trigger all`.execute(own.db);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await gateway.close();
  await own.remove();
});

const anchorOf = ({ seq, hash }: { seq: number; hash: string }) => `${seq}:${hash}`;

/** Runs `latticeway audit verify …` in this process, without letting it exit. */
async function verify(...args: string[]) {
  const output: string[] = [];
  let errors = "";
  const print = vi.spyOn(console, "log").mockImplementation((text: string) => output.push(text));
  const command = auditCommand();
  for (const one of [command, ...command.commands] as Command[]) {
    one.exitOverride().configureOutput({ writeErr: (text) => (errors += text) });
  }
  try {
    await command.parseAsync(["verify", ...args], { from: "user" });
    return { code: "ok", exitCode: 0, output: output.join("\n"), errors };
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { code: error.code, exitCode: error.exitCode, output: output.join("\n"), errors };
  } finally {
    print.mockRestore();
  }
}

async function verifyText(text: string, ...args: string[]) {
  const file = join(testFolder(), "export.ndjson");
  writeFileSync(file, text);
  return verify("--file", file, ...args);
}
const verifyEntries = (list: readonly unknown[], ...args: string[]) =>
  verifyText(list.map((entry) => `${jcs(entry)}\n`).join(""), ...args);

/** The log as it would be written anew, with hashes that fit. */
function rewritten(list: readonly AuditEntry[]): AuditEntry[] {
  let before = AUDIT_START.hash;
  return list.map(({ prev_hash: _, hash: __, ...content }, index) => {
    const entry = { ...content, seq: index + 1 };
    const prev_hash = before;
    before = auditHash(prev_hash, entry);
    return { ...entry, prev_hash, hash: before };
  });
}

describe("latticeway audit verify --file", () => {
  it("finds an export to be what it was, and gives an anchor to keep", async () => {
    const { code, output } = await verifyText(exported);
    const [first, , last] = entries;
    expect(code).toBe("ok");
    expect(output).toContain(`The chain holds: 3 entries, from ${first?.at} to ${last?.at}.`);
    expect(output).toContain("Without an --anchor");
    const anchor = output.split("\n").at(-1) ?? "";
    expect(anchor).toBe(`3:${last?.hash}`);
    const again = await verifyText(exported, "--anchor", anchor);
    expect(again.code).toBe("ok");
    expect(again.output).not.toContain("Without an --anchor");
  });

  it("takes a log that has begun only now, and one of a gateway that has none", async () => {
    const { code, output } = await verifyText("", "--anchor", anchorOf(AUDIT_START));
    expect(code).toBe("ok");
    expect(output).toContain("The chain holds: 0 entries.");
  });

  const others: Record<keyof AuditEntry, unknown[]> = {
    seq: [9],
    at: ["2026-01-01T00:00:00.000Z"],
    actor: ["operator:Zoe", ""],
    action: ["diagnostics.requests"],
    vin: ["VMG-002", null],
    ecu_id: ["ECU_002", null],
    subject: ["s-2", null],
    request: ["22F191", "", null],
    response: ["62F19042", null],
    detail: [null, {}, { comment: 'two\nlines, "quoted"', n: [1, { "10": 1, "9": 3 }] }],
    prev_hash: ["f".repeat(64)],
    hash: ["f".repeat(64)],
  };

  describe.each([0, 1, 2])("with entry %i changed", (index) => {
    it.each(Object.entries(others).flatMap(([name, values]) => values.map((it) => [name, it])))(
      "in %s to %j says so",
      async (name, value) => {
        const changed = entries.map((entry, at) =>
          at === index ? { ...entry, [String(name)]: value } : entry,
        );
        const { code, exitCode, errors } = await verifyEntries(changed);
        expect([code, exitCode]).toEqual([
          name === "seq" ? "AUDIT_SEQUENCE_BROKEN" : "AUDIT_ENTRY_ALTERED",
          1,
        ]);
        expect(errors).toContain(`entry ${index + 1} `);
      },
    );

    it("with its hash says so at the next one, or by an anchor", async () => {
      const entry = { ...entries[index], actor: "operator:other" } as AuditEntry;
      const { prev_hash, hash: _, ...content } = entry;
      const forged = { ...entry, hash: auditHash(prev_hash, content) };
      const list = entries.with(index, forged);
      const last = entries.at(-1) as AuditEntry;
      const { code } = await verifyEntries(list, "--anchor", anchorOf(last));
      expect(code).toBe(index === 2 ? "AUDIT_ANCHOR_DIFFERS" : "AUDIT_ENTRY_ALTERED");
    });
  });

  it.each<[string, (list: AuditEntry[]) => unknown[], string]>([
    ["without its first entry", (list) => list.slice(1), "AUDIT_SEQUENCE_BROKEN"],
    ["without one in the middle", (list) => list.toSpliced(1, 1), "AUDIT_SEQUENCE_BROKEN"],
    ["without its end", (list) => list.slice(0, 2), "AUDIT_ANCHOR_MISSED"],
    ["emptied", () => [], "AUDIT_ANCHOR_MISSED"],
    ["in another order", ([a, b, c]) => [a, c, b], "AUDIT_SEQUENCE_BROKEN"],
    ["with an entry twice", ([a, b, c]) => [a, b, b, c], "AUDIT_SEQUENCE_BROKEN"],
    [
      "written anew",
      (list) => rewritten(list.toSpliced(0, 1, ...list.slice(1, 2))),
      "AUDIT_ANCHOR_DIFFERS",
    ],
    ["written anew and shorter", (list) => rewritten(list.slice(1)), "AUDIT_ANCHOR_MISSED"],
    [
      "with a member that no hash covers",
      ([a, b, c]) => [a, { ...b, note: 1 }, c],
      "AUDIT_LINE_MALFORMED",
    ],
  ])("refuses a log %s", async (_name, change, code) => {
    const last = entries.at(-1) as AuditEntry;
    const changed = change(structuredClone(entries));
    expect((await verifyEntries(changed, "--anchor", anchorOf(last))).code).toBe(code);
  });

  it.each<[string, (text: string) => string]>([
    ["with a member twice", (text) => text.replace('{"action"', '{"action":"x","action"')],
    ["with blanks", (text) => text.replace('","', '", "')],
    ["with an empty line", (text) => `\n${text}`],
    ["cut in its last line", (text) => text.slice(0, -1)],
    ["of something else", () => "[]\n"],
  ])("refuses a file %s", async (_name, change) => {
    expect((await verifyText(change(exported))).code).toBe("AUDIT_LINE_MALFORMED");
  });

  it.each(["3", "3:ff", `x:${"0".repeat(64)}`])("refuses the anchor %s", async (anchor) => {
    expect((await verifyText(exported, "--anchor", anchor)).code).toBe("commander.invalidArgument");
  });

  it("says of a file that is not there what the system says", async () => {
    expect((await verify("--file", join(testFolder(), "none"))).code).toBe("ENOENT");
  });
});

describe("latticeway audit verify at a gateway", () => {
  beforeEach(async () => {
    vi.stubEnv("LATTICEWAY_URL", gateway.url);
    vi.stubEnv("LATTICEWAY_TOKEN", "auditor");
    vi.stubEnv("LATTICEWAY_CA", gateway.caFile);
    await sql`delete from audit_entry`.execute(own.db);
    await sql`insert into audit_entry select * from kept`.execute(own.db);
  });

  it("finds the log to be what it was", async () => {
    const { code, output } = await verify("--anchor", anchorOf(entries[0] as AuditEntry));
    expect(code).toBe("ok");
    expect(output).toContain("The chain holds: 3 entries");
  });

  it.each([
    ["at = at + interval '1 millisecond'", "AUDIT_ENTRY_ALTERED"],
    ["actor = 'operator:other'", "AUDIT_ENTRY_ALTERED"],
    ["action = 'other'", "AUDIT_ENTRY_ALTERED"],
    ["vin = null", "AUDIT_ENTRY_ALTERED"],
    ["ecu_id = 'ECU_002'", "AUDIT_ENTRY_ALTERED"],
    ["subject = null", "AUDIT_ENTRY_ALTERED"],
    ["request = null", "AUDIT_ENTRY_ALTERED"],
    ["response = '\\x62f190'", "AUDIT_ENTRY_ALTERED"],
    ["detail = detail - 'n'", "AUDIT_ENTRY_ALTERED"],
    ["hash = sha256(hash)", "AUDIT_ENTRY_ALTERED"],
    ["prev_hash = sha256(prev_hash)", "AUDIT_ENTRY_ALTERED"],
    ["seq = 100", "AUDIT_SEQUENCE_BROKEN"],
  ])("sees that somebody has set %s in the database", async (change, code) => {
    await sql.raw(`update audit_entry set ${change} where seq = 2`).execute(own.db);
    expect((await verify()).code).toBe(code);
  });

  it("sees by an anchor that somebody has cut off the end", async () => {
    await sql`delete from audit_entry where seq = 3`.execute(own.db);
    expect((await verify()).code).toBe("ok");
    const anchor = anchorOf(entries[2] as AuditEntry);
    expect((await verify("--anchor", anchor)).code).toBe("AUDIT_ANCHOR_MISSED");
  });
});

describe("the recipe of docs/audit.md", () => {
  it("computes the same head in another language", (context) => {
    requirePeer(context, "scapy");
    const page = readFileSync(join(import.meta.dirname, "../../docs/audit.md"), "utf8");
    const recipe = /```python\n(import hashlib.*?)```/s.exec(page)?.[1] ?? "";
    const { stdout, stderr } = spawnSync(PYTHON, ["-c", recipe], {
      input: exported,
      encoding: "utf8",
    });
    expect(stderr).toBe("");
    expect(stdout.trim()).toBe(entries.at(-1)?.hash);
  });
});
