import { basename, resolve } from "node:path";
import { Command } from "commander";
import type { Signer } from "#crypto/signing-keys.ts";
import { MAX_METADATA_BYTES, parseMetadata } from "#protocol/uptane/metadata.ts";
import { addSignatures } from "#protocol/uptane/sign.ts";
import {
  draftFiles,
  finishDraft,
  folderOf,
  readBounded,
  readFileName,
  readFolder,
  readRepository,
  writeWhole,
} from "./ceremony.ts";
import { keysFolder } from "./ceremony-edit.ts";
import { CeremonyError } from "./ceremony-error.ts";
import { openKeys, withKeyOptions, type KeyOptions } from "./ceremony-keys.ts";
import { reporting } from "./reporting.ts";
import { missingSignatures, signersFor, signingRules } from "./signing-rules.ts";
import { withFolder } from "./trust-options.ts";

/** `latticeway trust sign` */
export function signCommand(): Command {
  return withKeyOptions(withFolder(new Command("sign")))
    .description("Sign drafts with this machine's keys; what all have signed is ready to publish")
    .argument("[file...]", "metadata files (default: all drafts of the ceremony)")
    .action((files: string[], options: KeyOptions, command: Command) =>
      reporting(command, () => signAll(files, options)),
    );
}

async function signAll(given: readonly string[], options: KeyOptions): Promise<string> {
  const files = given.length > 0 ? given : await drafts(options.dir);
  if (files.length === 0) {
    throw new CeremonyError("CEREMONY_NOTHING_TO_DO", `${options.dir} has no drafts to sign`);
  }
  const signers = (await openKeys(keysFolder(options), options)).list();
  const lines: string[] = [];
  let count = 0;
  for (const file of files) {
    const { signed, line } = await signFile(file, signers);
    count += signed;
    lines.push(line);
  }
  if (count > 0) return lines.join("\n");
  const what = `no key in ${keysFolder(options)} may sign: ${lines.join("; ")}`;
  throw new CeremonyError("CEREMONY_KEYS_NOT_HERE", what);
}

async function drafts(dir: string): Promise<string[]> {
  const [director, image] = [
    await readRepository(dir, "director"),
    await readRepository(dir, "image"),
  ];
  return [...draftFiles(director), ...draftFiles(image)];
}

/** Who may sign is read from the files beside it, those of a root before those that it names. */
async function signFile(
  file: string,
  signers: readonly Signer[],
): Promise<{ signed: number; line: string }> {
  const { roleName } = readFileName(basename(file)) ?? {};
  if (roleName === undefined || roleName === "snapshot") {
    const what = `${file} is not called like a root or targets, 2.root.json`;
    throw new CeremonyError("CEREMONY_FILE_INVALID", what);
  }
  const role = roleName === "root" ? "root" : "targets";
  const bytes = await readBounded(file, MAX_METADATA_BYTES[role]);
  const before = parseMetadata(role, bytes, roleName);
  const folder = resolve(folderOf(file));
  const name = basename(folder) === "director" ? "director" : "image";
  const rules = signingRules(await readFolder(folder, name), roleName, before);
  const ours = signersFor(rules, signers);
  const signed = ours.length === 0 ? bytes : await addSignatures(bytes, ours);
  if (ours.length > 0) await writeWhole(file, signed);
  const missing = missingSignatures(parseMetadata(role, signed, roleName), rules);
  const place = missing.length === 0 ? await finishDraft(file, signed) : file;
  const state =
    missing.length === 0 ? "signed by all who must" : `still needs ${missing.join(", ")}`;
  const line = `${place} (until ${before.signed.expires}): ${ours.length} signatures made here; ${state}`;
  return { signed: ours.length, line };
}
