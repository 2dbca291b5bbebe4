import { describe, expect, it } from "vitest";
import type { ProblemError } from "#protocol/api/problem.ts";
import { checkChain } from "#server/firmware/firmware.ts";

describe("checkChain", () => {
  it.each([
    ["2.0.0", "1.9.9"],
    ["2.0.0", "2.0.0-rc.1"],
    ["2.0.0", null],
    ["2.0.0", undefined],
  ])("takes %s with minimum %s", (version, min) => {
    expect(() => checkChain(version, min)).not.toThrow();
  });

  it.each([
    ["2.0.0", "2.0.0"],
    ["2.0.0", "2.0.1"],
    ["2.0.0+a", "2.0.0+b"],
    ["2.0.0-rc.1", "2.0.0"],
    ["1.9.0", "1.10.0"],
  ])("refuses %s with minimum %s", (version, min) => {
    expect(() => checkChain(version, min)).toThrow(
      expect.objectContaining({ code: "FIRMWARE_CHAIN_INVALID" }) as ProblemError,
    );
  });
});
