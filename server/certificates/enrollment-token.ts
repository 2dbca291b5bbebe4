import { randomBytes } from "node:crypto";

/** A new one-time token: 256 random bits, with a prefix that secret scanners can look for. */
export function newEnrollmentToken(): string {
  return `lwe_${randomBytes(32).toString("base64url")}`;
}
