import { access, readFile, writeFile } from "node:fs/promises";
import { Command, InvalidArgumentError, Option } from "commander";
import Type from "typebox";
import { isVehicleId } from "#crypto/identity.ts";
import { KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { REVOCATION_REASONS } from "#crypto/revocation-list.ts";
import {
  RevokeAnswer,
  type CertificateRecord,
  type RevokeRequest,
} from "#protocol/api/certificate.ts";
import { withGateway } from "./gateway.ts";
import { printable } from "./printable.ts";
import { reporting } from "./reporting.ts";
import { table, toSecond } from "./table.ts";

/** `latticeway certs …` for what only a running gateway can do. */
export function gatewayCommands(): Command[] {
  return [tokenCommand(), revokeCommand(), crlCommand()];
}

const GATEWAY =
  "\nThe gateway is that of `latticeway login`, or of LATTICEWAY_URL,\nLATTICEWAY_TOKEN and LATTICEWAY_CA.";

function tokenCommand(): Command {
  return new Command("token")
    .description("Make a one-time token by which a vehicle can enrol")
    .argument("<vehicle-id>", "VIN or VMG id", vehicleId)
    .option("--hours <n>", "hours that it can be used, 1 to 720", hours, 24)
    .option("--json", "print JSON")
    .addHelpText("after", GATEWAY)
    .action(async (vin: string, options: { hours: number; json?: true }, command: Command) => {
      await reporting(command, async () => {
        const expires_at = new Date(Date.now() + options.hours * 3_600_000).toISOString();
        const made = await withGateway((gateway) =>
          gateway.post("/certificates/enrollment-tokens", json({ vin, expires_at }), MadeToken),
        );
        return options.json === true ? JSON.stringify(made, null, 2) : made.token;
      });
    });
}

const MadeToken = Type.Object({
  token_id: Type.String(),
  vin: Type.String(),
  token: Type.String(),
  expires_at: Type.String(),
});

function revokeCommand(): Command {
  return new Command("revoke")
    .description("Revoke a certificate, or all on record of a vehicle; open connections are cut")
    .argument(
      "<file|fingerprint|vehicle-id>",
      "a PEM file, the SHA-256 of a certificate, or a vehicle",
    )
    .addOption(
      new Option("--reason <name>", "why")
        .choices(Object.keys(REVOCATION_REASONS))
        .default("unspecified"),
    )
    .option("--json", "print JSON")
    .addHelpText("after", GATEWAY)
    .action(async (name: string, options: RevokeOptions, command: Command) => {
      await reporting(command, async () => {
        const request = { ...(await choiceOf(name)), reason: options.reason };
        const { items, warnings } = await withGateway((gateway) =>
          gateway.post("/certificates/revoke", json(request), RevokeAnswer),
        );
        for (const warning of warnings) console.error(`Note: ${printable(warning)}`);
        return options.json === true ? JSON.stringify(items, null, 2) : revokedTable(items);
      });
    });
}

interface RevokeOptions {
  reason: NonNullable<RevokeRequest["reason"]>;
  json?: true;
}

function revokedTable(items: readonly CertificateRecord[]): string {
  return table(
    ["VEHICLE", "SERIAL", "KEY", "REVOKED", "BY", "REASON"],
    items.map((each) => [
      each.vin,
      each.serial,
      each.algorithm,
      toSecond(each.revoked_at ?? ""),
      each.revoked_by ?? "",
      each.revocation_reason ?? "",
    ]),
  );
}

/** A file goes before an id of the same name: what is meant can be looked at. */
async function choiceOf(name: string): Promise<RevokeRequest> {
  const isFile = await access(name).then(
    () => true,
    () => false,
  );
  if (isFile) return { certificate: await readFile(name, "utf8") };
  const hex = name.replaceAll(":", "").toLowerCase();
  return /^[0-9a-f]{64}$/.test(hex) ? { fingerprint: hex } : { vin: name };
}

function crlCommand(): Command {
  return new Command("crl")
    .description("Fetch the revocation list of an authority (RFC 5280, DER)")
    .addOption(
      new Option("--algorithm <name>", "names the authority")
        .choices(KeyAlgorithm)
        .default("ecdsa-p256"),
    )
    .option("--out <file>", "where to write it", "vehicle-ca.crl")
    .addHelpText("after", GATEWAY)
    .action(async (options: { algorithm: KeyAlgorithm; out: string }, command: Command) => {
      await reporting(command, async () => {
        const path = `/certificates/crl?algorithm=${options.algorithm}`;
        const list = await withGateway((gateway) => gateway.file(path));
        await writeFile(options.out, list);
        return `Written: ${options.out} (${list.length} bytes). Look at it: openssl crl -in ${options.out} -text -noout`;
      });
    });
}

function json(body: object): Buffer {
  return Buffer.from(JSON.stringify(body));
}

function vehicleId(text: string): string {
  if (!isVehicleId(text)) throw new InvalidArgumentError("3 to 64 of A-Z a-z 0-9 . _ -.");
  return text;
}

function hours(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 720) {
    throw new InvalidArgumentError("a whole number from 1 to 720.");
  }
  return value;
}
