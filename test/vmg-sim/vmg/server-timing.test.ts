import { expect, test } from "vitest";
import { serverTimings } from "#vmg-sim/vmg/server-timing.ts";

const ECU = 0x1001;
const bytes = (hex: string) => Buffer.from(hex, "hex");

function timings() {
  return serverTimings({ p2Ms: 2_000, p2StarMs: 5_000 });
}

test("an ECU is waited for as long as it said, and the way there and back", () => {
  const all = timings();
  all.note(ECU, bytes("1003"), bytes("500301900BB8"));
  expect(all.of(ECU)).toEqual({ p2Ms: 2_400, p2StarMs: 32_000 });
  expect(all.of(ECU + 1)).toEqual({ p2Ms: 2_000, p2StarMs: 5_000 });
});

test("one that promises much is not held to it to the millisecond", () => {
  const all = timings();
  all.note(ECU, bytes("1003"), bytes("500300000000"));
  expect(all.of(ECU)).toEqual({ p2Ms: 2_000, p2StarMs: 2_000 });
});

test.each([
  ["a refusal", "1003", "7F1022"],
  ["an answer that is cut", "1003", "500301900B"],
  ["an answer to something else", "22F190", "62F190019001900190"],
])("%s tells nothing", (_, request, response) => {
  const all = timings();
  all.note(ECU, bytes(request), bytes(response));
  expect(all.of(ECU).p2StarMs).toBe(5_000);
});

test("after its reset it is as it was before", () => {
  const all = timings();
  all.note(ECU, bytes("1003"), bytes("500301900BB8"));
  all.note(ECU, bytes("1101"), bytes("5101"));
  expect(all.of(ECU)).toEqual({ p2Ms: 2_000, p2StarMs: 5_000 });
});
