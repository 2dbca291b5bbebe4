import { gte } from "semver";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Requirement } from "./release.ts";

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

/**
 * A release requires nothing of its own type, whose versions have a chain for that, and one version
 * of each other type.
 * @param where by what the requirements came
 * @throws ProblemError FIRMWARE_REQUIRES_INVALID
 */
export function checkRequires(
  ecuType: string,
  requires: readonly Requirement[] | undefined,
  where: "form" | "body",
): void {
  const errors = (requires ?? []).flatMap(({ ecu_type }, index) => {
    const path = `${where}/requires/${index}/ecu_type`;
    if (ecu_type === ecuType) return [{ path, message: "is the release's own type" }];
    const first = requires?.findIndex((other) => other.ecu_type === ecu_type);
    return first === index ? [] : [{ path, message: `is required by item ${first} already` }];
  });
  const [first] = errors;
  if (first === undefined) return;
  throw new ProblemError("FIRMWARE_REQUIRES_INVALID", `${first.path} ${first.message}`, errors);
}
