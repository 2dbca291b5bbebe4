import { createHmac, randomBytes } from "node:crypto";
import type { Event } from "#protocol/api/event.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { isPublic, literalAddress } from "./public-address.ts";

/** How deliveries are tried again. */
export interface Retries {
  /** Before a delivery is given up. */
  attempts: number;
  retry_first_s: number;
  retry_max_s: number;
}

const SECRET_PREFIX = "whsec_";
const SECRET_BYTES = 32;

export function newSecret(): Buffer {
  return randomBytes(SECRET_BYTES);
}

/** @throws ProblemError WEBHOOK_SECRET_INVALID */
export function parseSecret(text: string): Buffer {
  const bytes = Buffer.from(text.slice(SECRET_PREFIX.length), "base64");
  // Node takes what is no base64 as far as it goes.
  if (printSecret(bytes) !== text || bytes.length < 24 || bytes.length > 64) {
    throw new ProblemError("WEBHOOK_SECRET_INVALID");
  }
  return bytes;
}

export function printSecret(secret: Buffer): string {
  return SECRET_PREFIX + secret.toString("base64");
}

/**
 * Refuses what can be seen to be out of bounds by the URL itself; where its name leads is looked at
 * whenever a connection is made.
 * @throws ProblemError WEBHOOK_URL_REFUSED
 */
export function checkUrl(text: string, allowPrivate: boolean): void {
  const refuse = (why: string) => new ProblemError("WEBHOOK_URL_REFUSED", why);
  if (!URL.canParse(text)) throw refuse("it is no URL");
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") throw refuse("it holds a password");
  if (url.hash !== "") throw refuse("it has a fragment");
  if (allowPrivate) return;
  if (url.protocol !== "https:") throw refuse("it is not https");
  const address = literalAddress(url);
  if (address !== undefined && !isPublic(address)) throw refuse(`${address} is no public address`);
}

/**
 * The headers that prove where a delivery comes from (Standard Webhooks 1.0.0): a signature by each
 * secret that is valid.
 */
export function signedHeaders(
  id: string,
  body: string,
  secrets: readonly Buffer[],
  now: Date,
): Record<"webhook-id" | "webhook-timestamp" | "webhook-signature", string> {
  const timestamp = String(Math.floor(now.getTime() / 1000));
  const signatures = secrets.map(
    (secret) =>
      `v1,${createHmac("sha256", secret).update(`${id}.${timestamp}.${body}`).digest("base64")}`,
  );
  return {
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    "webhook-signature": signatures.join(" "),
  };
}

/** What is sent. */
export function bodyOf({ id, kind, at, vin, subject, data }: Event): string {
  return JSON.stringify({ id, kind, at, vin, subject, data });
}

/**
 * How long to wait after a number of failures, in milliseconds: three times as long each time, and
 * by chance up to half of it less, so that not everything comes back at once.
 */
export function pauseAfter(
  failures: number,
  { retry_first_s, retry_max_s }: Retries,
  random: () => number,
): number {
  const whole = Math.min(retry_max_s, retry_first_s * 3 ** Math.min(failures - 1, 30));
  return Math.round(whole * 1000 * (1 - random() / 2));
}

/** A day: whoever asks for more is tried again before. */
const MAX_RETRY_AFTER_MS = 86_400_000;

/** What a `Retry-After` asks for (RFC 9110 §10.2.3), in milliseconds; 0 when it says nothing. */
export function retryAfter(header: string | undefined, now: Date): number {
  if (header === undefined) return 0;
  const wait = /^\d{1,9}$/.test(header)
    ? Number(header) * 1000
    : Date.parse(header) - now.getTime();
  return Number.isNaN(wait) ? 0 : Math.max(0, Math.min(wait, MAX_RETRY_AFTER_MS));
}

/** A webhook that fails so often in a row is tried only now and then, whatever waits for it. */
const PATIENCE = 5;

/**
 * How long nothing at all is sent to a webhook after so many failures in a row, in milliseconds; 0
 * where a single delivery may be the reason.
 */
export function restAfter(failures: number, retries: Retries, random: () => number): number {
  return failures < PATIENCE ? 0 : pauseAfter(failures - PATIENCE + 1, retries, random);
}
