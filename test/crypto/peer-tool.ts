import { spawnSync } from "node:child_process";
import type { TestContext } from "vitest";
import type { KeyAlgorithm } from "#crypto/key-algorithm.ts";

/**
 * Skips a test that needs a program this machine lacks, saying which; where
 * LATTICEWAY_REQUIRE_PEERS is set the test runs anyway, and fails.
 */
export function needs(context: TestContext, program: string, present: boolean): void {
  const required = process.env["LATTICEWAY_REQUIRE_PEERS"] !== undefined;
  context.skip(!present && !required, `left out: ${program} is not on this machine`);
}

export function hasProgram(name: string): boolean {
  return spawnSync(name, ["--version"]).error === undefined;
}

/** Whether the openssl on the PATH knows an algorithm; ML-DSA came with 3.5. */
export function opensslKnows(algorithm: KeyAlgorithm): boolean {
  const { stdout, error } = spawnSync("openssl", ["version"], { encoding: "utf8" });
  const [, major, minor] = (error === undefined && /^OpenSSL (\d+)\.(\d+)/.exec(stdout)) || [];
  const version = Number(major ?? 0) + Number(minor ?? 0) / 100;
  return version >= (algorithm === "ecdsa-p256" ? 3 : 3.05);
}
