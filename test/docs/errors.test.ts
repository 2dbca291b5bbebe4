import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { blockedReasons } from "#protocol/api/ota.ts";
import { problems } from "#protocol/api/problem.ts";
import { commandNames } from "#protocol/mqtt/control.ts";
import { diagnosticErrors } from "#protocol/mqtt/diagnostics.ts";

const repository = join(import.meta.dirname, "../..");
const folders = ["protocol", "crypto", "config", "server", "vmg-sim", "cli", "certs"];

interface Row {
  section: string;
  code: string;
  cells: string[];
}

/** The rows of the pages' tables. */
const rows: Row[] = [];
let section = "";
const pages = ["docs/errors.md", "docs/reasons.md"].map((page) => join(repository, page));
for (const line of pages.flatMap((page) => readFileSync(page, "utf8").split("\n"))) {
  section = /^## (.+)/.exec(line)?.[1] ?? section;
  const [, code, rest] = /^\| `(\w+)` \| (.+) \|$/.exec(line) ?? [];
  if (code !== undefined && rest !== undefined) {
    rows.push({ section, code, cells: rest.split(" | ") });
  }
}
const documented = new Set(rows.map(({ code }) => code));

/** What looks like a code and is none. */
const others = [
  /^(?:FST|ZSTD|Z|ERR_STREAM|ERR_HTTP|HPE)_/, // Fastify's, zlib's and Node's own, which ours stand for
  /^(?:LATTICEWAY|VMG_CONFIG|XDG|ECU_\d)/, // environment, an example
  /^E(?:ACCES|EXIST|ISDIR|NOENT|NOTDIR)$/, // the operating system's, as it names them
  /^A_(?:U?INT32|[A-Z0-9]+STRING)$/, // ODX's data types
  new RegExp(`^(?:${commandNames.join("|")})$`),
];

/** Lines that say that a code exists, not that it happens: members of unions, lists and tables. */
const tables = ["protocol/api/problem.ts", "protocol/mqtt/diagnostics.ts", "protocol/api/ota.ts"];
const declaration = /^\s*\| "|^export type /;
const lists = [...tables, "protocol/package/package-error.ts"];

const seen = new Set<string>();
const used = new Set<string>();
for (const folder of folders) {
  for (const file of readdirSync(join(repository, folder), { recursive: true, encoding: "utf8" })) {
    if (file.endsWith(".ts")) readSource(join(folder, file));
  }
}

function readSource(file: string): void {
  const text = readFileSync(join(repository, file), "utf8");
  for (const line of withoutComments(text).split("\n")) {
    for (const code of codesIn(line)) {
      seen.add(code);
      if (!declaration.test(line) && !lists.includes(file)) used.add(code);
    }
  }
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*.*?\*\//gs, "").replaceAll(/(?:^|\s)\/\/.*$/gm, "");
}

function codesIn(line: string): string[] {
  const snake = "[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+";
  const patterns = [
    new RegExp(`"(${snake})"`, "g"),
    new RegExp(`^ +(${snake}):(?: ["{]|$)`, "g"),
    new RegExp(`"(${Object.keys(problems).join("|")})"`, "g"),
    /(?:code[:=]|code =|\?\?|Error\() ?"([A-Z]{4,})"/g,
    /^ {2}"?([A-Z]{6,})"?: "/g,
  ];
  return patterns
    .flatMap((pattern) => [...line.matchAll(pattern)].map(([, code = ""]) => code))
    .filter((code) => !others.some((other) => other.test(code)));
}

describe("docs/errors.md and docs/reasons.md", () => {
  it("was read, and so was the source", () => {
    expect(documented.size).toBeGreaterThan(100);
    expect(seen).toContain("VEHICLE_MISMATCH");
    expect(codesIn('throw new PkiError("PKI_NEW_CODE", "")')).toEqual(["PKI_NEW_CODE"]);
    expect(codesIn('  const error = { code: "VMG_NEW", message };')).toEqual(["VMG_NEW"]);
  });

  it("explains every code of the source", () => {
    expect([...seen].filter((code) => !documented.has(code))).toEqual([]);
  });

  it("explains none that the source does not have", () => {
    const known = new Set([...seen, ...Object.keys(problems)]);
    expect([...documented].filter((code) => !known.has(code))).toEqual([]);
  });

  it("explains none that is only declared and never happens", () => {
    expect([...documented].filter((code) => !used.has(code))).toEqual([]);
  });

  it("says of each when it happens and what to do, once per section", () => {
    const places = rows.map(({ section: title, code }) => `${title}: ${code}`);
    expect(new Set(places).size).toBe(places.length);
    const bare = rows.filter(({ section: title, cells }) =>
      title === "HTTPS"
        ? cells.length !== 3
        : cells.length !== 2 || cells.some((cell) => cell.trim().length < 5),
    );
    expect(bare).toEqual([]);
  });

  it("gives the problem codes with the status they travel with", () => {
    const stated = rows
      .filter((row) => row.section === "HTTPS")
      .map(({ code, cells }) => [code, Number(cells[0])] as const);
    const actual = Object.entries(problems).map(([code, { status }]) => [code, status] as const);
    expect(Object.fromEntries(stated)).toEqual(Object.fromEntries(actual));
  });

  it("explains what a vehicle answers to diagnostics, and why an ECU is blocked", () => {
    for (const code of Object.keys({ ...diagnosticErrors, ...blockedReasons })) {
      expect(documented).toContain(code);
    }
  });
});
