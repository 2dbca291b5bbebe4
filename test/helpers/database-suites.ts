import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const root = join(import.meta.dirname, "../..");
/** Whoever takes a database takes it from here. */
const database = join(import.meta.dirname, "test-database.ts");

/** Long ones that touch the database only by the way, in which others go further. */
const others = [
  "test/server/http/access.test.ts",
  "test/server/trust/full-targets.test.ts",
  "test/server/trust/production.test.ts",
];

/** The suites of the gateway that are about the database, by what they import. @returns their paths */
export function databaseSuites(): string[] {
  const suites = globSync("test/{server,e2e}/**/*.test.ts", { cwd: root, exclude: others });
  const touching = suites.filter((suite) => reaches(join(root, suite), new Set()));
  if (touching.length < suites.length / 2) throw new Error("too few suites touch the database");
  return touching;
}

/** Does a file import the database, directly or by other files of the tests? */
function reaches(file: string, seen: Set<string>): boolean {
  if (file === database) return true;
  if (seen.has(file) || !existsSync(file)) return false;
  seen.add(file);
  const imports = readFileSync(file, "utf8").matchAll(/ from "(#test\/|\.{1,2}\/)([^"]+)"/g);
  return [...imports].some(([, from, path = ""]) =>
    reaches(
      from === "#test/" ? join(root, "test", path) : join(dirname(file), from ?? "", path),
      seen,
    ),
  );
}
