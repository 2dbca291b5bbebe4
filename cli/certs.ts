import { access } from "node:fs/promises";
import { relative } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import {
  listCertificates,
  readCertificate,
  type CertificateSummary,
} from "#crypto/certificate-list.ts";
import { isVehicleId } from "#crypto/identity.ts";
import { HYBRID_ALGORITHMS, KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { PkiError } from "#crypto/pki-error.ts";
import { vehicleFiles } from "#crypto/pki-layout.ts";
import { ensureDevelopmentPki, issueVehicleCertificate } from "#crypto/pki.ts";
import { withExamples } from "./answering.ts";
import { gatewayCommands } from "./certs-gateway.ts";
import { issueTester, testerCommand, type TesterOptions } from "./certs-tester.ts";
import { table } from "./table.ts";

/** `latticeway certs …`: development certificates, and the vehicles' at a running gateway. */
export function certsCommand(): Command {
  const certs = new Command("certs").description(
    "Issue and show development certificates; enrol and revoke vehicles' at a gateway",
  );
  certs.addCommand(issueCommand());
  certs.addCommand(
    withCommonOptions(testerCommand()).action(
      async (name: string, options: TesterOptions, command: Command) => {
        await reporting(command, async () => printed(await issueTester(name, options), options));
      },
    ),
  );
  certs.addCommand(listCommand());
  certs.addCommand(showCommand());
  for (const command of gatewayCommands()) certs.addCommand(command);
  for (const command of certs.commands) withExamples(command, examples[command.name()] ?? []);
  return certs;
}

const examples: Readonly<Record<string, readonly string[]>> = {
  issue: ["latticeway certs issue VMG-001"],
  tester: ["latticeway certs tester bench-1 --role write --vin VMG-001 --days 7"],
  list: ["latticeway certs list", "latticeway certs list --json"],
  show: ["latticeway certs show VMG-001"],
  token: ["latticeway certs token VMG-001"],
  revoke: ["latticeway certs revoke VMG-001 --reason key_compromise"],
  crl: ["latticeway certs crl --algorithm ml-dsa-65 --out vehicle-ca.crl"],
};

/** The certificates of a folder, as a table for people; paths relative to where they are. */
export function certificateTable(certificates: readonly CertificateSummary[]): string {
  return table(
    ["FILE", "USE", "KEY", "SUBJECT", "UNTIL"],
    certificates.map((certificate) => [
      relative(process.cwd(), certificate.file),
      certificate.use,
      certificate.algorithm,
      certificate.subject,
      certificate.not_after.slice(0, 10),
    ]),
  );
}

interface CommonOptions {
  dir: string;
  json?: true;
}

function issueCommand(): Command {
  return withCommonOptions(new Command("issue"))
    .description("Make a vehicle's client certificate; one that is there is left as it is")
    .argument("<vehicle-id>", `VIN or VMG id: ${ID_RULE}`, vehicleIdArgument)
    .addOption(
      new Option("--algorithm <name>", "kind of key")
        .choices(KeyAlgorithm)
        .default("ecdsa-p256", "ecdsa-p256"),
    )
    .option("--days <n>", "days it is valid, 1 to 3650 (default: 825)", days)
    .action(async (vehicleId: string, options: IssueOptions, command: Command) => {
      await reporting(command, async () => {
        const { file, made } = await issue(vehicleId, options);
        return printed({ made, summary: await readCertificate(file) }, options);
      });
    });
}

function printed(
  { made, summary }: { made: boolean; summary: CertificateSummary },
  { json }: CommonOptions,
): string {
  if (json === true) return JSON.stringify({ made, ...summary }, null, 2);
  const state = made ? "Made" : "Already there, left as it is:";
  return `${state} ${relative(process.cwd(), summary.file)}\n\n${details(summary)}`;
}

interface IssueOptions extends CommonOptions {
  algorithm: KeyAlgorithm;
  days?: number;
}

const DAY = 86_400_000;

async function issue(
  vehicleId: string,
  { dir, algorithm, days: valid }: IssueOptions,
): Promise<{ file: string; made: boolean }> {
  const algorithms = [...new Set([...HYBRID_ALGORITHMS, algorithm])];
  const { problems } = await ensureDevelopmentPki(dir, { algorithms });
  for (const problem of problems) console.error(`Note: ${problem}`);
  const now = new Date();
  const { certificate, made } = await issueVehicleCertificate(dir, {
    vehicleId,
    algorithm,
    now,
    ...(valid === undefined ? {} : { notAfter: new Date(now.getTime() + valid * DAY) }),
  });
  return { file: certificate, made };
}

function listCommand(): Command {
  return withCommonOptions(new Command("list"))
    .description("List the certificates of the folder")
    .action(async (options: CommonOptions, command: Command) => {
      await reporting(command, async () => {
        const certificates = await listCertificates(options.dir);
        if (options.json === true) return JSON.stringify(certificates, null, 2);
        return certificates.length === 0
          ? `No certificates in ${options.dir}. \`npm run certs\` makes them, and so does the first start.`
          : certificateTable(certificates);
      });
    });
}

function showCommand(): Command {
  return withCommonOptions(new Command("show"))
    .description("Show one certificate")
    .argument("<file|vehicle-id>", "a PEM file, or a vehicle whose certificates are in the folder")
    .action(async (name: string, options: CommonOptions, command: Command) => {
      await reporting(command, async () => {
        const files = await certificateFilesOf(name, options.dir);
        const summaries = await Promise.all(files.map(readCertificate));
        return options.json === true
          ? JSON.stringify(summaries, null, 2)
          : summaries.map(details).join("\n\n");
      });
    });
}

async function certificateFilesOf(name: string, folder: string): Promise<string[]> {
  const candidates = isVehicleId(name)
    ? KeyAlgorithm.map((algorithm) => vehicleFiles(folder, name, algorithm).certificate)
    : [];
  const present = await Promise.all([...candidates, name].map(exists));
  const files = [...candidates, name].filter((_file, index) => present[index] === true);
  if (files.length === 0) {
    throw new PkiError(
      "PKI_CERTIFICATE_MISSING",
      `${name} is neither a file nor a vehicle with a certificate in ${folder}`,
    );
  }
  return files;
}

function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

function details(certificate: CertificateSummary): string {
  const names = certificate.names.length === 0 ? "-" : certificate.names.join(", ");
  return [
    `File         ${relative(process.cwd(), certificate.file)}`,
    `Subject      ${certificate.subject}`,
    `Issuer       ${certificate.issuer}`,
    `Use          ${certificate.use}`,
    `Key          ${certificate.algorithm}`,
    `Names        ${names}`,
    `Valid        ${certificate.not_before} to ${certificate.not_after}`,
    `Serial       ${certificate.serial}`,
    `Fingerprint  ${certificate.fingerprint} (SHA-256)`,
  ].join("\n");
}

function withCommonOptions(command: Command): Command {
  return command
    .option("--dir <folder>", "folder of the certificates", "certs")
    .option("--json", "print JSON");
}

const ID_RULE = "3 to 64 of A-Z a-z 0-9 . _ -";

function vehicleIdArgument(text: string): string {
  if (!isVehicleId(text)) throw new InvalidArgumentError(`${ID_RULE}.`);
  return text;
}

function days(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 3650) {
    throw new InvalidArgumentError("a whole number from 1 to 3650.");
  }
  return value;
}

/** Prints what the action answers; a known error becomes one line and exit code 1. */
async function reporting(command: Command, action: () => Promise<string>): Promise<void> {
  try {
    console.log(await action());
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    command.error(`error: ${error.message} (${error.code})`, { exitCode: 1, code: error.code });
  }
}
