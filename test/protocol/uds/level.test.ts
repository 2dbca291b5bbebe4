import * as fc from "fast-check";
import { expect, test } from "vitest";
import { diagnosticLevel, diagnosticLevels } from "#protocol/uds/level.ts";
import { isReadOnly } from "#protocol/uds/service.ts";

test.each([
  ["22f190", "read"],
  ["1902ff", "read"],
  ["24f190", "read"],
  ["3e00", "read"],
  ["3e80", "read"],
  ["1001", "read"],
  ["1081", "read"],
  ["2ef1992026", "write"],
  ["14ffffff", "write"],
  ["3d11000000ff01", "write"],
  ["8502", "write"],
  ["1002", "control"],
  ["1003", "control"],
  ["10", "control"],
  ["1101", "control"],
  ["2312000010", "control"],
  ["2701", "control"],
  ["280301", "control"],
  ["2900", "control"],
  ["2a0101", "control"],
  ["2c01f300", "control"],
  ["2f010003", "control"],
  ["3103ff00", "control"],
  ["340044", "control"],
  ["350044", "control"],
  ["3601", "control"],
  ["37", "control"],
  ["3801", "control"],
  ["8400", "control"],
  ["8605", "control"],
  ["8703", "control"],
  ["ba00", "control"],
  ["", "control"],
])("%s needs %s", (request, level) => {
  expect(diagnosticLevel(Buffer.from(request, "hex"))).toBe(level);
});

test("what needs no more than to read is sent again, or goes back to the default session", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 6 }), (request) => {
      const level = diagnosticLevel(request);
      expect(diagnosticLevels).toContain(level);
      expect(level !== "read" || isReadOnly(request) || request[0] === 0x10).toBe(true);
    }),
  );
});
