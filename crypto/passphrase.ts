import { readFile } from "node:fs/promises";
import { KeyStoreError } from "./key-store-error.ts";

const MAX_LENGTH = 1024;

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
