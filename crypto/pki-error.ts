export type PkiErrorCode =
  | "PKI_MISSING"
  | "PKI_CERTIFICATE_MISSING"
  | "PKI_CERTIFICATE_UNREADABLE"
  | "PKI_KEY_MISSING"
  | "PKI_KEY_UNREADABLE"
  | "PKI_KEY_MISMATCH"
  | "PKI_HOST_NAME_INVALID"
  | "PKI_VEHICLE_ID_INVALID"
  | "PKI_TESTER_NAME_INVALID";

/** Certificates or keys that can't be used or made. */
export class PkiError extends Error {
  readonly code: PkiErrorCode;

  constructor(code: PkiErrorCode, message: string) {
    super(message);
    this.name = "PkiError";
    this.code = code;
  }
}
