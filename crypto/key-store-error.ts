export type KeyStoreErrorCode =
  | "KEY_STORE_FILE_INVALID"
  | "KEY_STORE_FILE_PLAIN"
  | "KEY_STORE_PASSPHRASE_REQUIRED"
  | "KEY_STORE_PASSPHRASE_WRONG"
  | "KEY_STORE_PASSPHRASE_INVALID"
  | "KEY_STORE_PASSPHRASE_TOO_SHORT";

/** A key store that can't be opened. The message names the file and no secret. */
export class KeyStoreError extends Error {
  readonly code: KeyStoreErrorCode;

  constructor(code: KeyStoreErrorCode, message: string) {
    super(message);
    this.name = "KeyStoreError";
    this.code = code;
  }
}
