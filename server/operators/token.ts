import { createHash, randomBytes } from "node:crypto";

/** A new operator token: 256 random bits, with a prefix that secret scanners can look for. */
export function newToken(): string {
  return `lwt_${randomBytes(32).toString("base64url")}`;
}

/** What is stored of a token. A plain hash is enough: the token is random, not a password. */
export function hashToken(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
