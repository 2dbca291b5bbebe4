import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { databaseSuites } from "./test/helpers/database-suites.ts";

const embedded = {
  extends: true as const,
  test: {
    name: "embedded",
    include: ["test/**/*.test.ts"],
    env: { TEST_DATABASE: "embedded" },
    globalSetup: "test/helpers/global-setup.ts",
  },
};

/** Everything that touches the database once more, each suite on a database of its own. */
const postgresql = {
  extends: true as const,
  test: {
    name: "postgresql",
    include: databaseSuites(),
    env: { TEST_DATABASE: "postgresql" },
    globalSetup: "test/helpers/global-setup.ts",
  },
};

export default defineConfig({
  test: {
    projects: process.env["LATTICEWAY_TEST_POSTGRES"] ? [embedded, postgresql] : [embedded],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 60_000 } },
    // What suites have at module level are constants and caches, so one worker can load the modules
    // once for all of them: that is most of what short suites cost.
    isolate: false,
    // For the programs that suites start: they are compiled once, not by each process.
    env: {
      NODE_COMPILE_CACHE: join(import.meta.dirname, "node_modules/.cache/latticeway/compiled"),
    },
    // Two leave a fifth of two cores idle: suites wait for what they have started. More would only
    // make them wait for each other.
    maxWorkers: 3,
  },
});
