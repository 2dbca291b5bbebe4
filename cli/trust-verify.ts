import { readFile, rename, writeFile } from "node:fs/promises";
import { Command, InvalidArgumentError } from "commander";
import type { Vehicle, VehicleEcu } from "#protocol/uptane/assignment.ts";
import { verifyFully, type FullVerification } from "#protocol/uptane/full-verification.ts";
import { runWorkflow } from "#protocol/uptane/run-workflow.ts";
import type { Checks, TrustedRepository } from "#protocol/uptane/trusted.ts";
import { UptaneError } from "#protocol/uptane/uptane-error.ts";
import {
  newVehicleState,
  restoreVehicleState,
  storeVehicleState,
  type RepositoryName,
  type VehicleState,
} from "#protocol/uptane/vehicle-state.ts";
import { printable, printableLines } from "./printable.ts";
import { openSource, SourceError } from "./repository-source.ts";
import { table } from "./table.ts";

interface VerifyOptions {
  director: string;
  image: string;
  root: string[];
  ecuId: string[];
  hardwareId: string[];
  releaseCounter?: number[];
  vin?: string;
  nonce?: string;
  time?: Date;
  expectUpdate?: true;
  hybrid: boolean;
  state?: string;
  json?: true;
}

/** `latticeway trust verify` */
export function verifyCommand(): Command {
  return new Command("verify")
    .description(
      "Full Uptane verification of a director and an image repository, as a vehicle does it",
    )
    .requiredOption("--director <url|folder>", "the director's metadata")
    .requiredOption("--image <url|folder>", "the image repository's metadata")
    .requiredOption(
      "--root <file...>",
      "trusted roots: the director's, then the image repository's",
    )
    .requiredOption("--ecu-id <id...>", "every ECU of the vehicle")
    .requiredOption("--hardware-id <id...>", "the hardware of each, in the same order")
    .option("--release-counter <n...>", "what each has installed, in the same order", counters)
    .option("--vin <vin>", "the vehicle that the director's targets must name")
    .option("--nonce <nonce>", "the nonce that they must repeat")
    .option("--time <instant>", "verify as of this time (default: now)", instant)
    .option("--expect-update", "refuse a director that assigns nothing")
    .option("--no-hybrid", "ask for the thresholds only, not for each family of keys")
    .option("--state <file>", "remember between runs what was trusted")
    .option("--json", "print JSON")
    .addHelpText("after", "\nPrints what was verified, or the error code, with exit code 1.")
    .action(async (options: VerifyOptions, command: Command) => {
      const vehicle = vehicleOf(options, command);
      try {
        const outcome = await verify(options, vehicle);
        const shown = options.json === true ? json(report(outcome)) : text(outcome);
        console.log(printableLines(shown));
      } catch (error) {
        refuse(error, options, command);
      }
    });
}

function vehicleOf(options: VerifyOptions, command: Command): Vehicle {
  const { ecuId, hardwareId, releaseCounter, root, vin, nonce, expectUpdate } = options;
  if (root.length !== 2) usage(command, "--root takes two files, the director's and the images'");
  const fits = [hardwareId, releaseCounter ?? ecuId].every(({ length }) => length === ecuId.length);
  if (!fits) usage(command, "as many --hardware-id and --release-counter as --ecu-id are needed");
  const ecus = ecuId.map((id, index): VehicleEcu => {
    const counter = releaseCounter?.[index];
    return {
      ecuId: id,
      hardwareId: hardwareId[index] ?? "",
      ...(counter !== undefined && { releaseCounter: counter }),
    };
  });
  return {
    ecus,
    ...(vin !== undefined && { vin }),
    ...(nonce !== undefined && { nonce }),
    ...(expectUpdate && { expectsUpdate: true }),
  };
}

async function verify(options: VerifyOptions, vehicle: Vehicle): Promise<FullVerification> {
  const checks: Checks = {
    now: options.time ?? new Date(),
    ...(!options.hybrid && { families: [] }),
  };
  const sources = { director: openSource(options.director), image: openSource(options.image) };
  const keep = async (state: VehicleState) => {
    if (options.state !== undefined) await writeState(options.state, state);
    return undefined;
  };
  const workflow = verifyFully(await readState(options, checks), vehicle, checks);
  const outcome = await runWorkflow(workflow, (step) =>
    step.kind === "fetch"
      ? sources[step.repository].fetch(step.file, step.maxBytes)
      : keep(step.state),
  );
  await keep(outcome.state);
  return outcome;
}

/** The state of an earlier run or, in the first, the roots. */
async function readState(options: VerifyOptions, checks: Checks): Promise<VehicleState> {
  const stored = options.state === undefined ? undefined : await readIfThere(options.state);
  if (stored !== undefined) return restoreVehicleState(parseState(stored), checks);
  const [director = "", image = ""] = options.root;
  const roots = { director: await readFile(director), image: await readFile(image) };
  return newVehicleState(roots, checks);
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function parseState(stored: string): unknown {
  try {
    return JSON.parse(stored);
  } catch {
    throw new UptaneError("UPTANE_STATE_MALFORMED", "state", "the file is not JSON");
  }
}

async function writeState(file: string, state: VehicleState): Promise<void> {
  const temporary = `${file}.${process.pid}.new`;
  await writeFile(temporary, `${JSON.stringify(storeVehicleState(state))}\n`);
  await rename(temporary, file);
}

function report({ state, assignments }: FullVerification) {
  return {
    verified: true,
    director: versions(state.director),
    image: versions(state.image),
    assignments: assignments.map(({ path, file, ecu, signedBy }) => ({
      ...ecu,
      path,
      length: file.length,
      hashes: file.hashes,
      signed_by: signedBy,
    })),
  };
}

function versions({ root, timestamp, snapshot, targets }: TrustedRepository) {
  return {
    root: root.signed.version,
    timestamp: timestamp?.signed.version,
    snapshot: snapshot?.signed.version,
    targets: targets?.signed.version,
  };
}

function text(outcome: FullVerification): string {
  const line = (name: RepositoryName) => {
    const parts = Object.entries(versions(outcome.state[name])).map(([role, n]) => `${role} ${n}`);
    return `${name}: ${parts.join(", ")}`;
  };
  const { assignments } = report(outcome);
  const rows = assignments.map((each) => [
    each.ecu_id,
    each.hardware_id,
    String(each.release_counter ?? "-"),
    each.path,
    String(each.length),
    each.signed_by,
  ]);
  return [
    "Verified.",
    line("director"),
    line("image"),
    rows.length === 0
      ? "Nothing is assigned."
      : `\n${table(["ECU", "HARDWARE", "RELEASE", "IMAGE", "BYTES", "SIGNED BY"], rows)}`,
  ].join("\n");
}

/** A refusal, or a repository or file that can't be read, is one line and exit code 1. */
function refuse(error: unknown, options: VerifyOptions, command: Command): never {
  const { code, message } = error as NodeJS.ErrnoException;
  const isSystem = error instanceof Error && "syscall" in error;
  const isKnown = error instanceof UptaneError || error instanceof SourceError || isSystem;
  if (!isKnown || code === undefined) throw error;
  if (options.json === true) {
    console.log(printableLines(json({ verified: false, code, message })));
  }
  command.error(printable(`error: ${message} (${code})`), { exitCode: 1, code });
}

function json(value: object): string {
  return JSON.stringify(value, null, 2);
}

function usage(command: Command, message: string): never {
  command.error(`error: ${message}`, { code: "commander.invalidArgument" });
}

function instant(value: string): Date {
  const time = new Date(value);
  if (Number.isNaN(time.getTime())) {
    throw new InvalidArgumentError("a time like 2026-11-20T12:00:00Z.");
  }
  return time;
}

function counters(value: string, before: number[] | undefined): number[] {
  if (!/^\d{1,15}$/.test(value)) throw new InvalidArgumentError("whole numbers.");
  return [...(before ?? []), Number(value)];
}
