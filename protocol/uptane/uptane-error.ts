import type { SignatureRefusal } from "./threshold.ts";

/** Why metadata or an assignment was refused. */
export type UptaneErrorCode =
  | "UPTANE_METADATA_TOO_LARGE"
  | "UPTANE_METADATA_MALFORMED"
  | "UPTANE_METADATA_DUPLICATE_KEY"
  | "UPTANE_METADATA_TOO_DEEP"
  | "UPTANE_METADATA_TYPE"
  | "UPTANE_SPEC_VERSION"
  | "UPTANE_METADATA_MISSING"
  | "UPTANE_SIGNATURE_DUPLICATE"
  | "UPTANE_SIGNATURE_MISSING"
  | "UPTANE_SIGNATURE_INVALID"
  | "UPTANE_UNDER_SIGNED"
  | "UPTANE_KEY_REVOKED"
  | "UPTANE_EXPIRED"
  | "UPTANE_ROOT_SKIPPED"
  | "UPTANE_ROOT_ROLLBACK"
  | "UPTANE_ROOT_NOT_CROSS_SIGNED"
  | "UPTANE_TIMESTAMP_ROLLBACK"
  | "UPTANE_SNAPSHOT_ROLLBACK"
  | "UPTANE_SNAPSHOT_MISMATCH"
  | "UPTANE_TARGETS_ROLLBACK"
  | "UPTANE_TARGETS_UNLISTED"
  | "UPTANE_TARGETS_MISMATCH"
  | "UPTANE_DELEGATIONS_TOO_MANY"
  | "UPTANE_TARGET_UNKNOWN"
  | "UPTANE_VIN_MISMATCH"
  | "UPTANE_NONCE_STALE"
  | "UPTANE_DIRECTOR_DELEGATES"
  | "UPTANE_DIRECTOR_EMPTY"
  | "UPTANE_CUSTOM_MALFORMED"
  | "UPTANE_ECU_DUPLICATE"
  | "UPTANE_ECU_UNKNOWN"
  | "UPTANE_HARDWARE_MISMATCH"
  | "UPTANE_RELEASE_ROLLBACK"
  | "UPTANE_IMAGE_MISMATCH"
  | "UPTANE_STEP_SKIPPED"
  | "UPTANE_PACKAGE_MISMATCH"
  | "UPTANE_LENGTH_EXCEEDED"
  | "UPTANE_STATE_MALFORMED";

/** A refusal. What was trusted before is still trusted, and nothing of what was refused is. */
export class UptaneError extends Error {
  readonly code: UptaneErrorCode;
  /** The file or role it is about: `root`, `timestamp`, `supplier-a`. */
  readonly role: string;

  constructor(code: UptaneErrorCode, role: string, message: string) {
    super(`${role}: ${message}`);
    this.name = "UptaneError";
    this.code = code;
    this.role = role;
  }
}

/** What a lack of signatures is called in metadata. */
export const SIGNATURE_CODES: Record<SignatureRefusal, UptaneErrorCode> = {
  SIGNATURE_DUPLICATE: "UPTANE_SIGNATURE_DUPLICATE",
  SIGNATURE_MISSING: "UPTANE_SIGNATURE_MISSING",
  SIGNATURE_INVALID: "UPTANE_SIGNATURE_INVALID",
  SIGNATURE_UNDER_THRESHOLD: "UPTANE_UNDER_SIGNED",
};
