import "#config/node-version.js";
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { measureAssembly } from "./assembly.ts";
import { measureDiagnosticLoad } from "./diagnostic-load.ts";
import { measureDiagnostics } from "./diagnostics.ts";
import { measureDownloads } from "./downloads.ts";
import type { Figure, Measure } from "./figure.ts";
import { measureFlashing } from "./flashing.ts";
import { measureHandshakes } from "./handshakes.ts";
import { describeMachine } from "./machine.ts";
import { PeerMissing } from "./peers.ts";
import { measureProfiles } from "./profiles.ts";
import { benchmarksPage, OtherMachine } from "./page.ts";
import { measureQueued } from "./queued.ts";
import { tableText } from "./report.ts";
import { measureIssuing } from "./issuing.ts";
import { measureMillion } from "./million.ts";
import { measureTelemetry } from "./telemetry.ts";
import { measureTunnel } from "./tunnel.ts";
import { measureVerification } from "./verification.ts";
import { createWorkspace } from "./workspace.ts";

const measures: Record<string, Measure> = {
  handshakes: measureHandshakes,
  profiles: measureProfiles,
  downloads: measureDownloads,
  assembly: measureAssembly,
  telemetry: measureTelemetry,
  diagnostics: measureDiagnostics,
  tunnel: measureTunnel,
  "diagnostic-load": measureDiagnosticLoad,
  queued: measureQueued,
  flashing: measureFlashing,
  issuing: measureIssuing,
  verification: measureVerification,
  million: measureMillion,
};

const USAGE = `npm run bench -- [--quick] [--write] [name…]
  name     ${Object.keys(measures).join(", ")}; all of them by default
  --quick  short runs: to see that everything works, not for figures
  --write  renew docs/benchmarks.md: the whole page, or the sections of the named figures`;

/** A figure that takes longer than this is stuck. */
const LIMIT_MS = 15 * 60_000;

process.once("SIGINT", () => process.exit(130));
process.once("SIGTERM", () => process.exit(143));

const { values, positionals } = readArguments();
const isEverything = positionals.length === 0;
if (values.write && values.quick) fail("--write needs whole runs");
const names = isEverything ? Object.keys(measures) : positionals;
const figures: Figure[] = [];
const missing: string[] = [];
const machine = describeMachine();
console.log(machine.join("\n"));
for (const name of names) await measure(name);
if (values.write && missing.length === 0) {
  writePage();
}
if (missing.length > 0) {
  console.log(`\nLeft out:\n  ${missing.join("\n  ")}`);
  if (values.write) fail("docs/benchmarks.md is not renewed without all peers");
  if (process.env["LATTICEWAY_REQUIRE"]?.split(",").includes("peers")) process.exit(1);
}
process.exit(0);

async function measure(name: string): Promise<void> {
  const take = measures[name];
  if (take === undefined) fail(`there is no figure "${name}"\n${USAGE}`);
  console.log(`\n${name}`);
  const limit = setTimeout(
    () => fail(`${name} takes longer than ${LIMIT_MS / 60_000} min`),
    LIMIT_MS,
  );
  try {
    const workspace = await createWorkspace();
    const figure = await take({ workspace, quick: values.quick, say: console.log });
    figures.push(figure);
    console.log(tableText(figure));
  } catch (error) {
    if (!(error instanceof PeerMissing)) throw error;
    missing.push(`${name}: ${error.message}`);
    console.log(`  ${error.message}`);
  } finally {
    clearTimeout(limit);
  }
}

function writePage(): void {
  const page = new URL("../docs/benchmarks.md", import.meta.url);
  const date = Temporal.Now.plainDateISO().toString();
  const before = isEverything ? undefined : readFileSync(page, "utf8");
  try {
    writeFileSync(page, benchmarksPage(figures, { machine, date, before }));
  } catch (error) {
    if (!(error instanceof OtherMachine)) throw error;
    fail("docs/benchmarks.md is of another machine or of other versions: renew all of it");
  }
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        quick: { type: "boolean", default: false },
        write: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    return fail(`${(error as Error).message}\n${USAGE}`);
  }
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}
