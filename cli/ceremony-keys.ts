import { Option, type Command } from "commander";
import { HYBRID_ALGORITHMS } from "#crypto/key-algorithm.ts";
import { KeyStoreError } from "#crypto/key-store-error.ts";
import { keyFileNames, openKeyStore, type KeyStore } from "#crypto/key-store.ts";
import { demandLength, readPassphrase } from "#crypto/passphrase.ts";
import { keyRecord, type UptaneKey } from "#protocol/uptane/key.ts";
import { askHidden } from "./ask.ts";

export interface KeyOptions {
  dir: string;
  keys?: string;
  passphraseFile?: string;
}

/** The options of all commands that use private keys. */
export function withKeyOptions(command: Command): Command {
  return withKeysFolder(command).addOption(
    new Option(
      "--passphrase-file <file>",
      "its first line opens the keys (default: LATTICEWAY_TRUST_PASSPHRASE, or it is asked for)",
    ),
  );
}

export function withKeysFolder(command: Command): Command {
  return command.option("--keys <folder>", "this machine's private keys (default: {dir}/keys)");
}

/** Opens the private keys of this machine. Here they are always encrypted. @throws KeyStoreError */
export async function openKeys(
  folder: string,
  options: Pick<KeyOptions, "passphraseFile">,
): Promise<KeyStore> {
  const isNew = (await keyFileNames(folder)).length === 0;
  return openKeyStore(folder, await passphraseFor(folder, isNew, options));
}

/**
 * What keys are encrypted by: from the file, the environment, or asked for.
 * @param isNew whether nothing is encrypted by it yet
 * @throws KeyStoreError
 */
export async function passphraseFor(
  folder: string,
  isNew: boolean,
  { passphraseFile }: Pick<KeyOptions, "passphraseFile">,
): Promise<string> {
  const given = process.env["LATTICEWAY_TRUST_PASSPHRASE"];
  return (await readPassphrase(passphraseFile, given)) ?? ask(folder, isNew);
}

/** A hybrid pair that is new in the store. */
export async function makePair(store: KeyStore): Promise<UptaneKey[]> {
  const pair = await Promise.all(HYBRID_ALGORITHMS.map((algorithm) => store.make(algorithm)));
  return pair.map(({ publicKey }) => keyRecord(publicKey));
}

async function ask(folder: string, isNew: boolean): Promise<string> {
  if (!process.stdin.isTTY) {
    const what = `${folder}: give --passphrase-file or LATTICEWAY_TRUST_PASSPHRASE`;
    throw new KeyStoreError("KEY_STORE_PASSPHRASE_REQUIRED", what);
  }
  const passphrase = await askPassphrase(`Passphrase for the keys in ${folder}: `);
  demandLength(folder, passphrase);
  // A mistake would be found out only when the keys are needed.
  if (isNew && (await askPassphrase("Once more: ")) !== passphrase) {
    throw new KeyStoreError("KEY_STORE_PASSPHRASE_INVALID", "the two passphrases differ");
  }
  return passphrase;
}

/** @throws KeyStoreError KEY_STORE_PASSPHRASE_REQUIRED */
async function askPassphrase(question: string): Promise<string> {
  const passphrase = await askHidden(question);
  if (passphrase !== undefined) return passphrase;
  throw new KeyStoreError("KEY_STORE_PASSPHRASE_REQUIRED", "no passphrase was given");
}
