export type CeremonyErrorCode =
  | "CEREMONY_EXISTS"
  | "CEREMONY_MISSING"
  | "CEREMONY_FILE_INVALID"
  | "CEREMONY_FILE_TOO_LARGE"
  | "CEREMONY_ROLE_UNKNOWN"
  | "CEREMONY_KEY_UNKNOWN"
  | "CEREMONY_KEYS_INCOMPLETE"
  | "CEREMONY_KEYS_NOT_HERE"
  | "CEREMONY_NOTHING_TO_DO"
  | "CEREMONY_TARGET_DIFFERS"
  | "CEREMONY_TARGET_CONTRADICTS"
  | "CEREMONY_IMAGE_UNKNOWN"
  | "REHEARSAL_STRANDED";

/** A step of the offline ceremony that can't be taken. Nothing was written. */
export class CeremonyError extends Error {
  readonly code: CeremonyErrorCode;

  constructor(code: CeremonyErrorCode, message: string) {
    super(message);
    this.name = "CeremonyError";
    this.code = code;
  }
}
