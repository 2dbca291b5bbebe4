import type { TestProject } from "vitest/node";
import { databaseTemplate } from "./database-template.ts";
import { leftOut } from "./optional.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** A database with all tables and no rows: the folder of an embedded one, the name of another. */
    databaseTemplate: string;
  }
}

/** Says in plain words what this run leaves out; ends it when that was required. */
export default async function setup(project: TestProject): Promise<void> {
  const lines = leftOut(process.env["LATTICEWAY_REQUIRE"] ?? "");
  const text = lines.length === 0 ? "nothing" : `\n  ${lines.join("\n  ")}`;
  process.stdout.write(`Left out on this machine: ${text}\n`);
  project.provide("databaseTemplate", await databaseTemplate());
}
