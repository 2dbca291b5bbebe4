import { gte } from "semver";
import { ProblemError } from "#protocol/api/problem.ts";

/**
 * A release can only be stepped to from below itself.
 * @throws ProblemError FIRMWARE_CHAIN_INVALID
 */
export function checkChain(version: string, minCurrentVersion: string | null | undefined): void {
  if (minCurrentVersion && gte(minCurrentVersion, version)) {
    throw new ProblemError(
      "FIRMWARE_CHAIN_INVALID",
      `min_current_version ${minCurrentVersion} is not below version ${version}`,
    );
  }
}
