import { readFile } from "node:fs/promises";
import { KeyStoreError } from "./key-store-error.ts";

const MAX_LENGTH = 1024;
/** Whoever has copied the files can try as many as they like: scrypt only makes each try dear. */
const MIN_LENGTH = 12;

/**
 * The passphrase of a key store: the first line of a file, or else the one that is given; undefined
 * when there is neither.
 * @throws KeyStoreError KEY_STORE_PASSPHRASE_INVALID for an unreadable, empty or endless one.
 */
export async function readPassphrase(
  file: string | undefined,
  given: string | undefined,
): Promise<string | undefined> {
  if (file === undefined || file === "") return given === "" ? undefined : given;
  const passphrase = (await readText(file)).split(/\r?\n/, 1)[0] ?? "";
  if (passphrase === "" || passphrase.length > MAX_LENGTH) {
    throw invalid(`${file}: its first line must be the passphrase, 1 to ${MAX_LENGTH} characters`);
  }
  return passphrase;
}

/**
 * @param folder the key store that it is for
 * @throws KeyStoreError KEY_STORE_PASSPHRASE_TOO_SHORT
 */
export function demandLength(folder: string, passphrase: string): void {
  const { length } = Array.from(passphrase.normalize("NFC"));
  if (length >= MIN_LENGTH) return;
  const what = `the passphrase for ${folder} has ${length} characters: choose one of ${MIN_LENGTH} or more`;
  throw new KeyStoreError("KEY_STORE_PASSPHRASE_TOO_SHORT", what);
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw invalid(`${file}: ${(error as Error).message}`);
  }
}

function invalid(message: string): KeyStoreError {
  return new KeyStoreError("KEY_STORE_PASSPHRASE_INVALID", message);
}
