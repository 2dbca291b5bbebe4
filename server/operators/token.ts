import { createHash, randomBytes } from "node:crypto";

/** A new operator token: 256 random bits, with a prefix that secret scanners can look for. */
export function newToken(): string {
  return `lwt_${secret()}`;
}

/** A new token of a session, for calls. */
export function newAccessToken(): string {
  return `lwa_${secret()}`;
}

/**
 * A new refresh token: what all of its session's have in common, by which one that was used before
 * is known again, and a secret of its own.
 */
export function newRefreshToken(family: string = secret()): { token: string; family: string } {
  return { token: `lwr_${family}.${secret()}`, family };
}

/** The parts of a refresh token; undefined when it is none. */
export function refreshTokenParts(token: string): { family: string; secret: string } | undefined {
  const [, family, secret] = /^lwr_([\w-]{43})\.([\w-]{43})$/.exec(token) ?? [];
  return family === undefined || secret === undefined ? undefined : { family, secret };
}

function secret(): string {
  return randomBytes(32).toString("base64url");
}

/** What is stored of a token. A plain hash is enough: the token is random, not a password. */
export function hashToken(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
