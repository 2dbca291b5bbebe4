import { defineConfig, type OxlintConfig } from "oxlint";

type Override = NonNullable<OxlintConfig["overrides"]>[number];

/**
 * The import order of the tree: a file imports from its own folder (`./x.ts`) or from folders to
 * the left of it here (`#folder/x.ts`). Each entry lists the folders that a file there may reach.
 */
const foundations = ["#bytes", "#crypto", "#protocol", "#config"];
const platform = [
  "#server/runtime",
  "#server/database",
  "#server/http",
  "#server/mqtt",
  "#server/blobs",
];

const mayImport: Record<string, string[]> = {
  "protocol/bytes": [],
  crypto: ["#protocol/bytes"],
  "protocol/doip": ["#protocol/bytes", "#crypto"],
  "protocol/uds": ["#protocol/bytes", "#crypto"],
  "protocol/uptane": ["#protocol/bytes", "#crypto"],
  "protocol/package": ["#protocol/bytes", "#crypto", "#protocol/uptane"],
  "protocol/mqtt": ["#protocol/bytes", "#crypto", "#protocol/uds"],
  "protocol/api": ["#protocol/bytes", "#crypto", "#protocol/uds", "#protocol/mqtt"],
  config: ["#protocol", "#crypto"],
  "server/runtime": foundations,
  "server/database": [...foundations, "#server/runtime"],
  "server/blobs": [...foundations, "#server/runtime"],
  "server/http": [...foundations, "#server/runtime", "#server/database"],
  "server/mqtt": [...foundations, "#server/runtime", "#server/database"],
  "server/operators": [...foundations, ...platform],
  "server/vehicles": [...foundations, ...platform, "#server/operators"],
  "server/firmware": [...foundations, ...platform, "#server/operators"],
  "server/packages": [...foundations, ...platform, "#server/operators", "#server/firmware"],
  "server/commands": [...foundations, ...platform, "#server/operators", "#server/vehicles"],
  "server/updates": [
    ...foundations,
    ...platform,
    "#server/operators",
    "#server/vehicles",
    "#server/firmware",
    "#server/packages",
  ],
  "server/diagnostics": [...foundations, ...platform, "#server/operators", "#server/vehicles"],
  "server/telemetry": [...foundations, ...platform, "#server/operators", "#server/vehicles"],
  "server/maintenance": [...foundations, "#server"],
  "vmg-sim/ecu": foundations,
  "vmg-sim/zone": foundations,
  "vmg-sim/vmg": foundations,
  cli: foundations,
};

const everyFolder = [
  ...Object.keys(mayImport).map((folder) => `#${folder}`),
  "#vmg-sim",
  "#cli",
  "#test",
  "#bench",
];

function importOrder(folder: string, allowed: string[]): Override {
  const own = `#${folder}`;
  const reaches = (other: string) =>
    allowed.some((prefix) => other === prefix || other.startsWith(`${prefix}/`));
  const forbidden = everyFolder.filter((other) => other !== own && !reaches(other));
  return {
    files: [`${folder}/*.ts`, `${folder}/migrations/*.ts`],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            {
              regex: `^(?:${forbidden.map((other) => `${other}/[^/]+`).join("|")})$`,
              message: `Import order: ${folder} may not import from here (see oxlint.config.ts).`,
            },
            {
              regex: "^\\.\\./",
              message: "Reach other folders by their #name, not by a relative path.",
            },
          ],
        },
      ],
    },
  };
}

const limits: Override["rules"] = {
  "max-lines": ["error", { max: 400, skipBlankLines: true, skipComments: true }],
  "max-lines-per-function": ["error", { max: 70, skipBlankLines: true, skipComments: true }],
};

export default defineConfig({
  plugins: ["typescript", "unicorn", "oxc", "import", "promise", "node", "vitest"],
  categories: { correctness: "error", suspicious: "error" },
  ignorePatterns: ["node_modules", "data", "dist", "coverage", "test/house-rules/planted"],
  rules: {
    "import/no-cycle": ["error", { ignoreTypes: false }],
    "import/no-unassigned-import": "off",
    "oxc/no-barrel-file": ["error", { threshold: 0 }],
    "typescript/no-floating-promises": "error",
    "typescript/no-misused-promises": "error",
    "typescript/switch-exhaustiveness-check": [
      "error",
      { considerDefaultExhaustiveForUnions: true },
    ],
    "typescript/consistent-type-imports": "error",
    "typescript/no-explicit-any": "error",
    "typescript/no-unsafe-type-assertion": "off",
    "typescript/no-non-null-assertion": "error",
    "unicorn/no-array-sort": "off",
    "unicorn/no-array-reverse": "off",
    "unicorn/consistent-function-scoping": "off",
    "eslint/no-await-in-loop": "off",
    "eslint/no-underscore-dangle": "off",
    "eslint/no-shadow": "off",
    eqeqeq: ["error", "always"],
    "no-console": "error",
    ...limits,
  },
  overrides: [
    ...Object.entries(mayImport).map(([folder, allowed]) => importOrder(folder, allowed)),
    {
      files: ["vmg-sim/*.ts"],
      rules: {
        "no-restricted-imports": [
          "error",
          {
            patterns: [
              {
                regex: "^(?:#server|#cli|#test|#bench)/",
                message: "The simulated vehicle never imports the server.",
              },
            ],
          },
        ],
      },
    },
    {
      files: ["test/**/*.ts", "bench/**/*.ts"],
      rules: { "max-lines-per-function": "off", "vitest/require-mock-type-parameters": "off" },
    },
    {
      files: ["cli/**/*.ts", "bench/**/*.ts", "vmg-sim/main.ts", "certs/*.ts"],
      rules: { "no-console": "off" },
    },
  ],
});
