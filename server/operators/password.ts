import { argon2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { ProblemError } from "#protocol/api/problem.ts";
import { createTurns } from "#server/runtime/turns.ts";

/** Longer than anybody types, short enough to hash at once. */
const MAX_PASSWORD = 256;

/** How much work a guess costs: what OWASP recommends for argon2id, 19 MiB and two passes. */
const cost = { memory: 19_456, passes: 2, parallelism: 1 } as const;
const SALT_BYTES = 16;
const HASH_BYTES = 32;

/** Each at once takes 19 MiB and a thread of the four that Node has. */
const usual = { atOnce: 2, maxWaiting: 32 };

export interface Passwords {
  /** @returns the hash with its parameters, in the PHC string format */
  hash(password: string): Promise<string>;
  /**
   * Takes as long when there is no hash, so that nobody learns who has an account.
   * @param hash as {@link Passwords.hash} gives it; null where no password is right
   */
  verify(password: string, hash: string | null): Promise<boolean>;
}

/**
 * Passwords under argon2id (RFC 9106), away from the event loop. Only so many at once.
 * @throws ProblemError LOGIN_BUSY when too many wait
 */
export function createPasswords({ atOnce, maxWaiting } = usual): Passwords {
  const turn = createTurns(atOnce, maxWaiting, "LOGIN_BUSY");
  const nobody = phc(randomBytes(SALT_BYTES), randomBytes(HASH_BYTES));
  return {
    hash: (password) =>
      turn(async () => {
        const salt = randomBytes(SALT_BYTES);
        return phc(salt, await derive(password, { salt, bytes: HASH_BYTES, ...cost }));
      }),
    verify: (password, hash) =>
      turn(async () => {
        const { key, ...parameters } = parsePhc(hash ?? nobody);
        const derived = await derive(password, { ...parameters, bytes: key.length });
        return timingSafeEqual(derived, key) && hash !== null;
      }),
  };
}

/** Whether a stored hash was made with less, or other, work than is usual now. */
export function isOutdated(hash: string): boolean {
  const { memory, passes, parallelism } = parsePhc(hash);
  return memory !== cost.memory || passes !== cost.passes || parallelism !== cost.parallelism;
}

/**
 * Refuses what is guessed first. No rules about kinds of characters (NIST SP 800-63B §3.1.1.2):
 * length is what counts.
 * @throws ProblemError PASSWORD_UNSUITABLE
 */
export function judgePassword(password: string, of: { min: number; name: string }): void {
  const text = canonical(password);
  const length = Array.from(text).length;
  const fault =
    length < of.min
      ? `it has ${length} characters; at least ${of.min} are needed`
      : length > MAX_PASSWORD
        ? `it has more than ${MAX_PASSWORD} characters`
        : /^(.{1,8}?)\1+.{0,7}$/su.test(text)
          ? "it repeats itself"
          : isOwnName(text, of.name)
            ? "it is the operator's name"
            : undefined;
  if (fault !== undefined) throw new ProblemError("PASSWORD_UNSUITABLE", fault);
}

/** A password that nobody chooses: 120 random bits. */
export function randomPassword(): string {
  return randomBytes(15)
    .toString("base64url")
    .replace(/.{5}(?=.)/g, "$&.");
}

function isOwnName(text: string, name: string): boolean {
  const letters = (of: string) => of.toLowerCase().replace(/[^\p{L}]/gu, "");
  return letters(text) === letters(name);
}

/** As two keyboards that write the same agree on (RFC 8265 §4.2, OpaqueString). */
function canonical(password: string): string {
  return password.replace(/\p{Zs}/gu, " ").normalize("NFC");
}

interface Derivation {
  salt: Buffer;
  bytes: number;
  memory: number;
  passes: number;
  parallelism: number;
}

const argon2id = promisify(argon2);

async function derive(password: string, { salt, bytes, ...work }: Derivation): Promise<Buffer> {
  // A longer one is never right, and is not worth the work.
  const message = canonical(password.slice(0, 2 * MAX_PASSWORD));
  return argon2id("argon2id", { message, nonce: salt, tagLength: bytes, ...work });
}

function phc(salt: Buffer, key: Buffer): string {
  const base64 = (bytes: Buffer) => bytes.toString("base64").replace(/=+$/, "");
  const { memory, passes, parallelism } = cost;
  return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${base64(salt)}$${base64(key)}`;
}

const PHC =
  /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2})\$([\w+/]{11,86})\$([\w+/]{22,86})$/;

function parsePhc(hash: string) {
  const [, memory, passes, parallelism, salt, key] = PHC.exec(hash) ?? [];
  if (salt === undefined || key === undefined) throw new Error("not a hash of argon2id");
  return {
    memory: Number(memory),
    passes: Number(passes),
    parallelism: Number(parallelism),
    salt: Buffer.from(salt, "base64"),
    key: Buffer.from(key, "base64"),
  };
}
