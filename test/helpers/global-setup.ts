import type { TestProject } from "vitest/node";
import { databaseTemplate } from "./database-template.ts";
import { leftOut } from "./optional.ts";
import { postgresqlTemplate } from "./postgresql-template.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** A database with all tables and no rows: the folder of an embedded one, the name of another. */
    databaseTemplate: string;
  }
}

/**
 * Says in plain words what this run leaves out, ends it when that was required, and makes the tables
 * once, so that each suite begins with a copy of them.
 * @returns what removes them, unless they are kept for the next run
 */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | void> {
  if (project.name === "postgresql") {
    const { name, drop } = await postgresqlTemplate();
    project.provide("databaseTemplate", name);
    return drop;
  }
  const lines = leftOut(process.env["LATTICEWAY_REQUIRE"] ?? "");
  const text = lines.length === 0 ? "nothing" : `\n  ${lines.join("\n  ")}`;
  process.stdout.write(`Left out on this machine: ${text}\n`);
  project.provide("databaseTemplate", await databaseTemplate());
}
