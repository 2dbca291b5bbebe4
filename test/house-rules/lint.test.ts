import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { plantTree } from "./planted-tree.ts";

const IMPORT_ORDER = "eslint(no-restricted-imports)";

/** [folder that imports, what it may not import] */
const outOfOrder = [
  ["protocol/bytes", "#crypto/profiles.ts"],
  ["protocol/bytes", "#protocol/uds/nrc.ts"],
  ["crypto", "#protocol/api/problem.ts"],
  ["crypto", "#config/server.ts"],
  ["protocol/uds", "#protocol/doip/frame.ts"],
  ["protocol/doip", "#protocol/uds/nrc.ts"],
  ["protocol/mqtt", "#protocol/api/problem.ts"],
  ["protocol/api", "#config/server.ts"],
  ["protocol/api", "#server/app.ts"],
  ["protocol/package", "#server/http/http.ts"],
  ["config", "#server/runtime/log.ts"],
  ["config", "#vmg-sim/fleet.ts"],
  ["server/runtime", "#server/http/http.ts"],
  ["server/database", "#server/vehicles/queries.ts"],
  ["server/blobs", "#server/http/problem.ts"],
  ["server/http", "#server/mqtt/broker.ts"],
  ["server/mqtt", "#server/telemetry/topics.ts"],
  ["server/operators", "#server/vehicles/queries.ts"],
  ["server/vehicles", "#server/updates/update.ts"],
  ["server/firmware", "#server/packages/package.ts"],
  ["server/packages", "#server/updates/update.ts"],
  ["server/updates", "#server/telemetry/queries.ts"],
  ["server/diagnostics", "#server/telemetry/queries.ts"],
  ["server/telemetry", "#server/diagnostics/queries.ts"],
  ["server/telemetry", "#server/maintenance/queries.ts"],
  ["server/maintenance", "#server/app.ts"],
  ["server/vehicles", "#server/main.ts"],
  ["server/vehicles", "#server/vehicles/queries.ts"],
  ["server/vehicles", "#vmg-sim/vmg/agent.ts"],
  ["server", "#vmg-sim/vehicle.ts"],
  ["server", "#test/helpers/gateway.ts"],
  ["vmg-sim/ecu", "#vmg-sim/vmg/flash.ts"],
  ["vmg-sim/ecu", "#server/app.ts"],
  ["vmg-sim/zone", "#vmg-sim/vmg/flash.ts"],
  ["vmg-sim/vmg", "#server/updates/update.ts"],
  ["vmg-sim", "#server/app.ts"],
  ["cli", "#server/app.ts"],
  ["cli", "#vmg-sim/fleet.ts"],
  ["certs", "#server/app.ts"],
  ["demo", "#server/app.ts"],
  ["server/vehicles", "../app.ts"],
  ["test/helpers", "../../server/app.ts"],
] as const;

const inOrder = [
  ["crypto", "#protocol/bytes/reader.ts"],
  ["protocol/package", "#protocol/uptane/key.ts"],
  ["config", "#protocol/api/identifier.ts"],
  ["server/http", "#server/database/connection.ts"],
  ["server/packages", "#server/firmware/firmware.ts"],
  ["server/updates", "#server/packages/package.ts"],
  ["server/database/migrations", "#server/database/tables.ts"],
  ["server", "#server/updates/topics.ts"],
  ["vmg-sim/vmg", "#protocol/api/ota.ts"],
  ["vmg-sim", "#vmg-sim/vmg/flash.ts"],
  ["bench", "#server/app.ts"],
  ["test/helpers", "#server/app.ts"],
] as const;

const importing = (from: string) =>
  `import { thing } from "${from}";\n\nexport const same = [thing];\n`;

const lines = (count: number) =>
  Array.from({ length: count }, (_, index) => `export const line${index} = ${index};\n`).join("");

/** One violation each: the file, its text, and the one rule that must fire on it. */
const violations: [name: string, file: string, text: string, rule: string][] = [
  ["a barrel", "protocol/uds/barrel.ts", 'export * from "./clean.ts";\n', "oxc(no-barrel-file)"],
  [
    "a promise nobody waits for",
    "server/vehicles/floating.ts",
    "export function start(): void {\n  Promise.resolve(1);\n}\n",
    "typescript(no-floating-promises)",
  ],
  [
    "a promise where a callback returns nothing",
    "server/vehicles/misused.ts",
    "export function start(): void {\n  setImmediate(async () => {\n    await Promise.resolve(1);\n  });\n}\n",
    "typescript(no-misused-promises)",
  ],
  [
    "a switch that forgets a case",
    "protocol/uds/switch.ts",
    'export function speak(kind: "yes" | "no"): number {\n  let said = 0;\n  switch (kind) {\n    case "yes":\n      said = 1;\n      break;\n  }\n  return said;\n}\n',
    "typescript(switch-exhaustiveness-check)",
  ],
  [
    "a type imported as a value",
    "protocol/uds/type-import.ts",
    'import { Clean } from "./clean.ts";\n\nexport const same = (clean: Clean): Clean => clean;\n',
    "typescript(consistent-type-imports)",
  ],
  ["a long file", "protocol/uds/long-file.ts", lines(401), "eslint(max-lines)"],
  [
    "a long function",
    "protocol/uds/long-function.ts",
    `export function long(): number {\n  let sum = 0;\n${"  sum += 1;\n".repeat(70)}  return sum;\n}\n`,
    "eslint(max-lines-per-function)",
  ],
  [
    "any",
    "protocol/uds/any.ts",
    "export const size = (value: any[]): number => value.length;\n",
    "typescript(no-explicit-any)",
  ],
  [
    "a non-null assertion",
    "protocol/uds/non-null.ts",
    "export const size = (value: string | undefined): number => value!.length;\n",
    "typescript(no-non-null-assertion)",
  ],
  ["console", "server/vehicles/console.ts", 'console.log("here");\n', "eslint(no-console)"],
  [
    "a loose comparison",
    "protocol/uds/loose.ts",
    "export const same = (a: number, b: number): boolean => a == b;\n",
    "eslint(eqeqeq)",
  ],
];

const cycles = {
  "protocol/doip/cycle-a.ts": importing("./cycle-b.ts").replace("same", "other"),
  "protocol/doip/cycle-b.ts": importing("./cycle-a.ts").replace("thing", "other as thing"),
  "protocol/doip/types-a.ts":
    'import type { B } from "./types-b.ts";\n\nexport interface A {\n  b: B;\n}\n',
  "protocol/doip/types-b.ts":
    'import type { A } from "./types-a.ts";\n\nexport interface B {\n  a: A;\n}\n',
  "test/cycle/a.ts": importing("#test/cycle-too/b.ts").replace("same", "other"),
  "test/cycle-too/b.ts": importing("#test/cycle/a.ts").replace("thing", "other as thing"),
};

const clean =
  "export interface Clean {\n  size: number;\n}\n\nexport const clean: Clean = { size: 1 };\n";

/** Where to plant it; of `certs/`, .gitignore and so the linter knows only one file. */
const orderFile = ([folder]: readonly [string, string], index: number, kind: string) =>
  folder === "certs" ? "certs/issue.ts" : `${folder}/${kind}-${index}.ts`;

interface Diagnostic {
  code: string;
  filename: string;
}

describe("the linter refuses", () => {
  const found = new Map<string, string[]>();
  let status: number | null = null;
  let remove = () => {};

  beforeAll(() => {
    const tree = plantTree({
      ...Object.fromEntries(
        outOfOrder.map((pair, index) => [orderFile(pair, index, "wrong"), importing(pair[1])]),
      ),
      ...Object.fromEntries(
        inOrder.map((pair, index) => [orderFile(pair, index, "right"), importing(pair[1])]),
      ),
      ...Object.fromEntries(violations.map(([, file, text]) => [file, text])),
      ...cycles,
      "protocol/uds/clean.ts": clean,
      "cli/console.ts": 'console.log("here");\n',
    });
    ({ remove } = tree);
    const result = tree.run("oxlint", "--type-aware", "--deny-warnings", "--format", "json");
    ({ status } = result);
    const { diagnostics } = JSON.parse(result.stdout) as { diagnostics: Diagnostic[] };
    for (const { filename, code } of diagnostics)
      found.set(filename, [...(found.get(filename) ?? []), code]);
  });
  afterAll(() => remove());

  it("with a status that stops the check", () => {
    expect(status).toBe(1);
  });

  it.each(outOfOrder.map((pair, index) => [...pair, orderFile(pair, index, "wrong")] as const))(
    "an import in %s of %s",
    (_folder, _from, file) => {
      expect(found.get(file)).toEqual([IMPORT_ORDER]);
    },
  );

  it.each(Object.keys(cycles))("the import cycle through %s", (file) => {
    expect(found.get(file)).toEqual(["import(no-cycle)"]);
  });

  it.each(violations)("%s", (_name, file, _text, rule) => {
    expect(found.get(file)).toEqual([rule]);
  });

  it("nothing that is in order", () => {
    const expected = [
      ...outOfOrder.map((pair, index) => orderFile(pair, index, "wrong")),
      ...violations.map(([, file]) => file),
      ...Object.keys(cycles),
    ];
    expect([...found.keys()].toSorted()).toEqual(expected.toSorted());
  });
});
