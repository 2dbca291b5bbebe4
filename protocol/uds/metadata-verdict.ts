import type { UptaneErrorCode } from "#protocol/uptane/uptane-error.ts";
import { RoutineStatus } from "./rid.ts";

/**
 * The second byte of the status record of "verify metadata" (31 01 0207) when it failed. A byte
 * keeps its meaning for good: vehicles and gateways of several ages meet here.
 */
const BYTES: Readonly<Record<UptaneErrorCode, number>> = {
  UPTANE_METADATA_TOO_LARGE: 0x01,
  UPTANE_METADATA_MALFORMED: 0x02,
  UPTANE_METADATA_DUPLICATE_KEY: 0x03,
  UPTANE_METADATA_TOO_DEEP: 0x04,
  UPTANE_METADATA_TYPE: 0x05,
  UPTANE_SPEC_VERSION: 0x06,
  UPTANE_METADATA_MISSING: 0x07,
  UPTANE_SIGNATURE_DUPLICATE: 0x10,
  UPTANE_SIGNATURE_MISSING: 0x11,
  UPTANE_SIGNATURE_INVALID: 0x12,
  UPTANE_UNDER_SIGNED: 0x13,
  UPTANE_KEY_REVOKED: 0x14,
  UPTANE_EXPIRED: 0x20,
  UPTANE_ROOT_SKIPPED: 0x21,
  UPTANE_ROOT_ROLLBACK: 0x22,
  UPTANE_ROOT_NOT_CROSS_SIGNED: 0x23,
  UPTANE_TIMESTAMP_ROLLBACK: 0x24,
  UPTANE_SNAPSHOT_ROLLBACK: 0x25,
  UPTANE_SNAPSHOT_MISMATCH: 0x26,
  UPTANE_TARGETS_ROLLBACK: 0x27,
  UPTANE_TARGETS_UNLISTED: 0x28,
  UPTANE_TARGETS_MISMATCH: 0x29,
  UPTANE_DELEGATIONS_TOO_MANY: 0x2a,
  UPTANE_TARGET_UNKNOWN: 0x2b,
  UPTANE_VIN_MISMATCH: 0x30,
  UPTANE_NONCE_STALE: 0x31,
  UPTANE_DIRECTOR_DELEGATES: 0x32,
  UPTANE_DIRECTOR_EMPTY: 0x33,
  UPTANE_CUSTOM_MALFORMED: 0x34,
  UPTANE_ECU_DUPLICATE: 0x35,
  UPTANE_ECU_UNKNOWN: 0x36,
  UPTANE_HARDWARE_MISMATCH: 0x37,
  UPTANE_RELEASE_ROLLBACK: 0x38,
  UPTANE_IMAGE_MISMATCH: 0x39,
  UPTANE_PACKAGE_MISMATCH: 0x3a,
  UPTANE_LENGTH_EXCEEDED: 0x3b,
  UPTANE_STEP_SKIPPED: 0x3c,
  UPTANE_STATE_MALFORMED: 0x40,
};

const codes = new Map(
  Object.entries(BYTES).map(([code, byte]) => [byte, code as UptaneErrorCode] as const),
);

/** The status record of a refusal: failed, and why. */
export function encodeRefusal(code: UptaneErrorCode): Uint8Array {
  return Uint8Array.of(RoutineStatus.failed, BYTES[code]);
}

/** Why a status record says that metadata was refused; undefined for a byte of no meaning here. */
export function decodeRefusal(record: Uint8Array): UptaneErrorCode | undefined {
  return codes.get(record[1] ?? 0);
}
