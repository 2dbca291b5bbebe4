import pino from "pino";
import type { TestProject } from "vitest/node";
import { openDatabase } from "#server/database/connection.ts";
import { postgresDatabase } from "./postgresql.ts";

/** Makes the tables once, so that each suite begins with a copy of them. @returns what drops them */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { name, url, drop } = await postgresDatabase();
  try {
    const config = { data_dir: "", database: { url, pool_size: 1 } };
    const database = await openDatabase(config, pino({ level: "silent" }));
    await database.close();
  } catch (error) {
    await drop();
    throw error;
  }
  project.provide("databaseTemplate", name);
  return drop;
}
