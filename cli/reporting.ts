import type { Command } from "commander";
import { KeyStoreError } from "#crypto/key-store-error.ts";
import { UptaneKeyError } from "#protocol/uptane/key.ts";
import { UptaneError } from "#protocol/uptane/uptane-error.ts";
import { CatalogueError } from "#protocol/uds/catalogue.ts";
import { AuditFault } from "./audit-chain.ts";
import { CeremonyError } from "./ceremony-error.ts";
import { GatewayError } from "./gateway.ts";
import { OdxError } from "./odx-document.ts";
import { printable, printableLines } from "./printable.ts";
import { SourceError } from "./repository-source.ts";

const known = [
  AuditFault,
  CatalogueError,
  CeremonyError,
  GatewayError,
  KeyStoreError,
  OdxError,
  SourceError,
  UptaneError,
  UptaneKeyError,
];

/** Prints what the action answers; a known error becomes one line with its code, and exit code 1. */
export async function reporting(command: Command, action: () => Promise<string>): Promise<void> {
  try {
    console.log(printableLines(await action()));
  } catch (error) {
    if (!isKnown(error)) throw error;
    const line = `error: ${error.message.replaceAll(/\s*\n\s*/g, " ")} (${error.code})`;
    command.error(printable(line), { exitCode: 1, code: error.code });
  }
}

/** Ours, and those of the system: a file that is not there, a folder that can't be written. */
function isKnown(error: unknown): error is Error & { code: string } {
  return (
    error instanceof Error &&
    (known.some((type) => error instanceof type) || ("syscall" in error && "code" in error))
  );
}
