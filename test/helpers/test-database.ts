import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { inject } from "vitest";
import { copyTemplate } from "./database-template.ts";
import { postgresDatabase } from "./postgresql.ts";

/**
 * The database that a suite runs on, with all tables and no rows: a new one on the PostgreSQL of
 * LATTICEWAY_TEST_POSTGRES in the `postgresql` project, the embedded one in `dataDir` otherwise.
 */
export async function testDatabase(
  dataDir: string,
): Promise<{ url: string; drop: () => Promise<void> }> {
  const template = inject("databaseTemplate");
  if (process.env["TEST_DATABASE"] === "postgresql") return postgresDatabase(template);
  await (compiled ??= compile());
  copyTemplate(template, dataDir);
  return { url: "", drop: async () => {} };
}

/**
 * V8 compiles the same bytes once for a process for as long as somebody has them compiled: without
 * us that ends with each suite's database.
 */
let compiled: Promise<object> | undefined;

async function compile(): Promise<object> {
  const wasm = new URL("pglite.wasm", import.meta.resolve("@electric-sql/pglite"));
  return WebAssembly.compile(await readFile(fileURLToPath(wasm)));
}

/** TypeScript has it among the types of browsers only. */
declare const WebAssembly: { compile(bytes: Uint8Array): Promise<object> };
