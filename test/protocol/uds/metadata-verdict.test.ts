import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { decodeRefusal, encodeRefusal } from "#protocol/uds/metadata-verdict.ts";
import type { UptaneErrorCode } from "#protocol/uptane/uptane-error.ts";

const source = readFileSync(
  new URL("../../../protocol/uptane/uptane-error.ts", import.meta.url),
  "utf8",
);
const codes = [...source.matchAll(/\| "(UPTANE_\w+)"/g)].map(([, code]) => code as UptaneErrorCode);

test("every refusal has a byte of its own, and comes back from it", () => {
  expect(codes.length).toBeGreaterThan(30);
  for (const code of codes) {
    const record = encodeRefusal(code);
    expect([record.length, record[0]]).toEqual([2, 0x01]);
    expect(decodeRefusal(record)).toBe(code);
  }
});

test("a byte without a meaning is no refusal that is known", () => {
  expect(decodeRefusal(Uint8Array.of(1, 0xff))).toBeUndefined();
  expect(decodeRefusal(Uint8Array.of(1))).toBeUndefined();
});
