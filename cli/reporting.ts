import type { Command } from "commander";
import { KeyStoreError } from "#crypto/key-store-error.ts";
import { UptaneKeyError } from "#protocol/uptane/key.ts";
import { UptaneError } from "#protocol/uptane/uptane-error.ts";
import { CatalogueError } from "#protocol/uds/catalogue.ts";
import { adviceOn } from "./advice.ts";
import { AuditFault } from "./audit-chain.ts";
import { CeremonyError } from "./ceremony-error.ts";
import { exitCodeOf } from "./exit-code.ts";
import { filterCaret } from "./filter-caret.ts";
import { GatewayError } from "./gateway-error.ts";
import { OdxError } from "./odx-document.ts";
import { printable, printableLines } from "./printable.ts";
import { RegisterFault } from "./register-check.ts";
import { SourceError } from "./repository-source.ts";
import { UsageError } from "./usage-error.ts";

const known = [
  AuditFault,
  CatalogueError,
  CeremonyError,
  GatewayError,
  KeyStoreError,
  OdxError,
  RegisterFault,
  SourceError,
  UptaneError,
  UptaneKeyError,
  UsageError,
];

/**
 * Prints what the action answers; a known error becomes a line with its code, what to do about it,
 * and an exit code of docs/cli.md.
 */
export async function reporting(command: Command, action: () => Promise<string>): Promise<void> {
  try {
    const output = printableLines(await action());
    if (output !== "") console.log(output);
  } catch (error) {
    if (!isKnown(error)) throw error;
    const { code } = error;
    // The command was understood: its help would say nothing of this.
    command.showHelpAfterError(false);
    command.error(told(error), { exitCode: exitCodeOf(code), code });
  }
}

function told(error: Error & { code: string }): string {
  const text = (fileFault(error) ?? error.message).replaceAll(/\s*\n\s*/g, " ");
  const lines = [printable(`error: ${text} (${error.code})`)];
  if (error instanceof GatewayError && error.filter) lines.push(filterCaret(error.filter));
  const advice = adviceOn(error.code);
  if (advice !== undefined) lines.push(advice);
  return lines.join("\n");
}

const fileFaults: Readonly<Record<string, string>> = {
  EACCES: "This may not be read or written",
  EEXIST: "This is there already, and is not replaced",
  EISDIR: "This is a folder",
  ENOENT: "There is no such file or folder",
  ENOTDIR: "This goes through a file as if it were a folder",
};

/** What the system says by the name of a call, in words. */
function fileFault(error: NodeJS.ErrnoException): string | undefined {
  const fault = fileFaults[error.code ?? ""];
  return fault && error.path !== undefined ? `${fault}: ${error.path}` : undefined;
}

/** Ours, and those of the system: a file that is not there, a folder that can't be written. */
function isKnown(error: unknown): error is Error & { code: string } {
  return (
    error instanceof Error &&
    (known.some((type) => error instanceof type) || ("syscall" in error && "code" in error))
  );
}
