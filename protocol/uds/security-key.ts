import { createHmac } from "node:crypto";

/** Bytes of the seeds and keys of our ECUs. */
export const SEED_LENGTH = 16;

/** The key that unlocks a level, from the seed the ECU gave; `level` is the odd sub-function. */
export type KeyFunction = (level: number, seed: Uint8Array) => Uint8Array;

/**
 * Secrets of the simulated ECUs, by level, hex. They are public: whoever builds a real vehicle
 * gives each ECU its own.
 */
export const demoSecrets: Readonly<Record<number, string>> = {
  0x01: "4c61747469636577617920646d6f2031",
  0x03: "4c61747469636577617920646d6f2033",
};

/**
 * The demonstration algorithm: HMAC-SHA-256 with the level's secret over `level ‖ seed`, its first
 * 16 bytes. A level without a secret has no key.
 * @throws RangeError for such a level
 */
export function hmacKey(secrets: Readonly<Record<number, string>>): KeyFunction {
  return (level, seed) => {
    const secret = secrets[level];
    if (secret === undefined) throw new RangeError(`no secret for security level ${level}`);
    return createHmac("sha256", Buffer.from(secret, "hex"))
      .update(Uint8Array.of(level))
      .update(seed)
      .digest()
      .subarray(0, SEED_LENGTH);
  };
}
