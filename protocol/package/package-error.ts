/** Every way a package can be wrong. */
export const PackageErrorCode = [
  "PACKAGE_MANIFEST_TOO_LARGE",
  "PACKAGE_MANIFEST_MALFORMED",
  "PACKAGE_MANIFEST_NOT_CANONICAL",
  "PACKAGE_MANIFEST_ORDER",
  "PACKAGE_MANIFEST_DUPLICATE",
  "PACKAGE_MANIFEST_PATH",
  "PACKAGE_SIGNATURES_MALFORMED",
  "PACKAGE_SIGNATURE_DUPLICATE",
  "PACKAGE_SIGNATURE_MISSING",
  "PACKAGE_SIGNATURE_INVALID",
  "PACKAGE_UNDER_SIGNED",
  "PACKAGE_TRUNCATED",
  "PACKAGE_TRAILING_BYTES",
  "PACKAGE_HEADER_INVALID",
  "PACKAGE_PATH_UNSAFE",
  "PACKAGE_ENTRY_MISSING",
  "PACKAGE_ENTRY_UNKNOWN",
  "PACKAGE_ENTRY_DUPLICATE",
  "PACKAGE_ENTRY_ORDER",
  "PACKAGE_ENTRY_SIZE",
  "PACKAGE_ENTRY_HASH",
  "PACKAGE_PADDING",
  "PACKAGE_IMAGE_CORRUPT",
  "PACKAGE_IMAGE_LENGTH",
  "PACKAGE_IMAGE_HASH",
] as const;
export type PackageErrorCode = (typeof PackageErrorCode)[number];

/** A package file, or what it is to be made from, that must not be used. */
export class PackageError extends Error {
  readonly code: PackageErrorCode;

  constructor(code: PackageErrorCode, message: string) {
    super(message);
    this.name = "PackageError";
    this.code = code;
  }
}
