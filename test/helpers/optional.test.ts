import { describe, expect, it } from "vitest";
import { leftOut } from "./optional.ts";

describe("what a run leaves out", () => {
  it("is said with the way to include it", () => {
    const lines = leftOut("", (name) => name !== "zstd");
    expect(lines).toEqual(["zstd (to include it: install zstd)"]);
  });

  it("is nothing where everything is present", () => {
    expect(leftOut("postgresql, zstd", () => true)).toEqual([]);
  });

  it("fails the run when it was required", () => {
    expect(() => leftOut("tar,postgresql", (name) => name === "tar")).toThrow(
      /^LATTICEWAY_REQUIRE: postgresql is not here: LATTICEWAY_TEST_POSTGRES=/,
    );
  });

  it("fails on a name that nobody knows, rather than requiring nothing", () => {
    expect(() => leftOut("postgres", () => true)).toThrow("postgres: known are postgresql, tar,");
  });
});
