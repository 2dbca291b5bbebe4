import { defineConfig, type OxlintConfig } from "oxlint";

type Override = NonNullable<OxlintConfig["overrides"]>[number];
type Rules = NonNullable<OxlintConfig["rules"]>;

const foundations = ["#protocol", "#crypto", "#config"];
const platform = [
  "#server/runtime",
  "#server/database",
  "#server/http",
  "#server/mqtt",
  "#server/blobs",
];
const slice = [...foundations, ...platform, "#server/audit", "#server/events", "#server/operators"];
const updating = [
  ...slice,
  "#server/vehicles",
  "#server/targeting",
  "#server/firmware",
  "#server/packages",
  "#server/commands",
  "#server/policies",
];

/**
 * The import order of the tree. A file imports from its own folder (`./x.ts`) and from the folders
 * listed here (`#folder/x.ts`), which stand to the left of its own:
 * protocol/bytes → crypto → protocol/* → config → the gateway's platform → its slices → app → main.
 * Every folder with source has an entry; a test holds the list complete.
 */
const mayImport: Record<string, readonly string[]> = {
  "protocol/bytes": [],
  crypto: ["#protocol/bytes"],
  "protocol/doip": ["#protocol/bytes", "#crypto"],
  "protocol/capture": ["#protocol/bytes", "#crypto", "#protocol/doip"],
  "protocol/uds": ["#protocol/bytes", "#crypto", "#protocol/uptane"],
  "protocol/uptane": ["#protocol/bytes", "#crypto"],
  "protocol/package": ["#protocol/bytes", "#crypto", "#protocol/uptane"],
  "protocol/mqtt": ["#protocol/bytes", "#crypto", "#protocol/uds"],
  "protocol/api": [
    "#protocol/bytes",
    "#crypto",
    "#protocol/uds",
    "#protocol/mqtt",
    "#protocol/uptane",
  ],
  config: ["#protocol", "#crypto"],

  "server/runtime": foundations,
  "server/database": [...foundations, "#server/runtime"],
  "server/database/migrations": ["#server/database"],
  "server/blobs": [...foundations, "#server/runtime"],
  "server/http": [...foundations, "#server/runtime", "#server/database"],
  "server/mqtt": [...foundations, "#server/runtime", "#server/database"],
  "server/audit": [...foundations, ...platform],
  "server/events": [...foundations, ...platform, "#server/audit"],
  "server/operators": [...foundations, ...platform, "#server/audit", "#server/events"],
  "server/vehicles": slice,
  "server/certificates": slice,
  "server/targeting": [...slice, "#server/vehicles"],
  "server/firmware": [...slice, "#server/vehicles", "#server/targeting"],
  "server/packages": [...slice, "#server/firmware"],
  "server/commands": [...slice, "#server/vehicles"],
  "server/policies": [...slice, "#server/vehicles", "#server/targeting", "#server/commands"],
  "server/updates": updating,
  "server/trust": [...updating, "#server/updates"],
  "server/diagnostic-policy": [...slice, "#server/vehicles", "#server/audit"],
  "server/diagnostic-sessions": [...slice, "#server/vehicles", "#server/diagnostic-policy"],
  "server/diagnostic-runs": [
    ...slice,
    "#server/vehicles",
    "#server/diagnostic-policy",
    "#server/diagnostic-sessions",
  ],
  "server/diagnostics": [
    ...slice,
    "#server/vehicles",
    "#server/diagnostic-policy",
    "#server/diagnostic-sessions",
  ],
  "server/telemetry": [...slice, "#server/vehicles"],
  "server/campaigns": [...updating, "#server/updates", "#server/diagnostic-runs"],
  "server/history": [...updating, "#server/updates", "#server/campaigns"],
  "server/maintenance": [
    ...updating,
    "#server/updates",
    "#server/campaigns",
    "#server/history",
    "#server/diagnostics",
    "#server/diagnostic-sessions",
    "#server/diagnostic-runs",
    "#server/diagnostic-policy",
    "#server/telemetry",
  ],
  server: [...foundations, "#server"],

  "vmg-sim/ecu": foundations,
  "vmg-sim/network": foundations,
  "vmg-sim/zone": [...foundations, "#vmg-sim/network"],
  "vmg-sim/edge": [...foundations, "#vmg-sim/network"],
  "vmg-sim/vmg": foundations,
  "vmg-sim": [...foundations, "#vmg-sim"],

  cli: foundations,
  certs: [...foundations, "#cli"],
  demo: [...foundations, "#vmg-sim"],
  bench: [...foundations, "#server", "#vmg-sim"],
};

const ownNames: Restriction = {
  regex: "^\\.\\./",
  message: "Reach other folders by their #name, not by a relative path.",
};

interface Restriction {
  regex: string;
  message: string;
}

function importOrder(folder: string, allowed: readonly string[]): Override {
  const forbidden = [...Object.keys(mayImport), "test(?:/.+)?"].filter(
    (other) => !allowed.some((prefix) => `#${other}/`.startsWith(`${prefix}/`)),
  );
  const message = `Import order: ${folder} may not import from here (see oxlint.config.ts).`;
  return {
    files: [`${folder}/*.ts`],
    rules: restrictImports([{ regex: `^#(?:${forbidden.join("|")})/[^/]+$`, message }, ownNames]),
  };
}

function restrictImports(patterns: Restriction[]): Rules {
  return { "no-restricted-imports": ["error", { patterns }] };
}

/** Rules that are right elsewhere and wrong here. */
const notForUs: Rules = {
  // `import Type from "typebox"` and `import pg from "pg"` are how their documentation says it.
  "import/no-named-as-default": "off",
  "import/no-named-as-default-member": "off",
  "import/no-unassigned-import": "off",
  // About Express, whose handlers may not be asynchronous; Fastify's may.
  "oxc/no-async-endpoint-handlers": "off",
  // About windows; a worker's postMessage has no origin.
  "unicorn/require-post-message-target-origin": "off",
  // aedes takes callbacks.
  "promise/no-callback-in-promise": "off",
  // tsc's noImplicitReturns knows which switches are exhaustive; this rule does not.
  "typescript/consistent-return": "off",
  // Does not see what a closure changes while the loop waits.
  "eslint/no-unmodified-loop-condition": "off",
  // Objects here are closures: their methods have no `this` to lose.
  "typescript/unbound-method": "off",
  // A copy is made where listeners may come and go while they are called.
  "unicorn/no-useless-spread": "off",
  // A step of a diagnostic script says what follows its `if`, and nobody awaits one.
  "unicorn/no-thenable": "off",
  // A metric registers itself when it is made.
  "eslint/no-new": "off",
  "typescript/no-unsafe-type-assertion": "off",
  "unicorn/no-array-sort": "off",
  "unicorn/no-array-reverse": "off",
  "unicorn/consistent-function-scoping": "off",
  "eslint/no-await-in-loop": "off",
  "eslint/no-underscore-dangle": "off",
  "eslint/no-shadow": "off",
};

export default defineConfig({
  plugins: ["typescript", "unicorn", "oxc", "import", "promise", "node", "vitest"],
  categories: { correctness: "error", suspicious: "error" },
  ignorePatterns: ["node_modules", "data", "dist", "coverage"],
  rules: {
    ...notForUs,
    ...restrictImports([ownNames]),
    "import/no-cycle": ["error", { ignoreTypes: false }],
    "oxc/no-barrel-file": ["error", { threshold: 0 }],
    "typescript/no-floating-promises": "error",
    "typescript/no-misused-promises": "error",
    "typescript/switch-exhaustiveness-check": [
      "error",
      { considerDefaultExhaustiveForUnions: true },
    ],
    "typescript/consistent-type-imports": "error",
    "typescript/no-explicit-any": "error",
    "typescript/no-non-null-assertion": "error",
    // A column is left out of a row by taking it off.
    "no-unused-vars": [
      "error",
      { ignoreRestSiblings: true, varsIgnorePattern: "^_", argsIgnorePattern: "^_" },
    ],
    eqeqeq: ["error", "always"],
    "no-console": "error",
    "max-lines": ["error", { max: 400, skipBlankLines: true, skipComments: true }],
    "max-lines-per-function": ["error", { max: 70, skipBlankLines: true, skipComments: true }],
  },
  overrides: [
    ...Object.entries(mayImport).map(([folder, allowed]) => importOrder(folder, allowed)),
    {
      files: ["test/**/*.ts", "bench/**/*.ts"],
      rules: { "max-lines-per-function": "off", "vitest/require-mock-type-parameters": "off" },
    },
    {
      files: ["{cli,demo,bench,certs}/**/*.ts", "vmg-sim/main.ts", "test/e2e/fleet-campaign.ts"],
      rules: { "no-console": "off" },
    },
  ],
});
