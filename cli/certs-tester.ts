import { Command, InvalidArgumentError, Option } from "commander";
import { readCertificate, type CertificateSummary } from "#crypto/certificate-list.ts";
import { issueTesterCertificate } from "#crypto/diagnostic-pki.ts";
import { isVehicleId } from "#crypto/identity.ts";
import { HYBRID_ALGORITHMS, KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { ensureDevelopmentPki } from "#crypto/pki.ts";
import { TesterRole } from "#crypto/tester-role.ts";

export interface TesterOptions {
  dir: string;
  json?: true;
  role: TesterRole;
  vin: string[];
  algorithm: KeyAlgorithm;
  days: number;
  replace?: true;
}

/** `latticeway certs tester`, without what it does. */
export function testerCommand(): Command {
  return new Command("tester")
    .description("Make a diagnostic engineer's certificate, for a car's connector and its ECUs")
    .argument("<name>", `of the engineer or the device: ${ID_RULE}`, id)
    .addOption(
      new Option("--role <name>", "what it allows, each with those before it")
        .choices(TesterRole)
        .default("read", "read"),
    )
    .option(
      "--vin <id>",
      "a vehicle that it is good for; repeat it for more (default: all)",
      ids,
      [],
    )
    .addOption(
      new Option("--algorithm <name>", "kind of key")
        .choices(KeyAlgorithm)
        .default("ecdsa-p256", "ecdsa-p256"),
    )
    .option("--days <n>", "days it is valid, 1 to 90: an ECU learns of no revocation", days, 7)
    .option("--replace", "put it in the place of one that is there, with the same key");
}

/** Makes the certificate, and what is missing of the authorities. @throws PkiError */
export async function issueTester(
  name: string,
  { dir, role, vin, algorithm, days: valid, replace }: TesterOptions,
): Promise<{ made: boolean; summary: CertificateSummary }> {
  const algorithms = [...new Set([...HYBRID_ALGORITHMS, algorithm])];
  const { problems } = await ensureDevelopmentPki(dir, { algorithms });
  for (const problem of problems) console.error(`Note: ${problem}`);
  const { certificate, made } = await issueTesterCertificate(dir, {
    name,
    role,
    vehicles: vin,
    algorithm,
    lifetimeMs: valid * DAY,
    ...(replace && { replace }),
  });
  const summary = await readCertificate(certificate);
  return { made, summary };
}

const DAY = 86_400_000;
const MAX_VEHICLES = 64;
const ID_RULE = "3 to 64 of A-Z a-z 0-9 . _ -";

function id(text: string): string {
  if (!isVehicleId(text)) throw new InvalidArgumentError(`${ID_RULE}.`);
  return text;
}

function ids(text: string, before: string[]): string[] {
  if (before.length >= MAX_VEHICLES) throw new InvalidArgumentError(`at most ${MAX_VEHICLES}.`);
  return [...before, id(text)];
}

function days(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 90) {
    throw new InvalidArgumentError("a whole number from 1 to 90.");
  }
  return value;
}
