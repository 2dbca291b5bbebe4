import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { describeNrc, Nrc, nrcTable } from "#protocol/uds/nrc.ts";
import { relate } from "#protocol/uds/response.ts";
import {
  findService,
  isReadOnly,
  serviceTable,
  Sid,
  suppressesPositive,
} from "#protocol/uds/service.ts";

const hex = (text: string) => Buffer.from(text, "hex");

describe("services", () => {
  test("are listed once, in ascending order", () => {
    const sids = serviceTable.map(({ sid }) => sid);
    expect(sids).toEqual([...new Set(sids)].sort((a, b) => a - b));
  });

  test("every service the code speaks is in the table", () => {
    for (const sid of Object.values(Sid)) {
      expect(findService(sid) !== undefined).toBe(sid !== Sid.negativeResponse);
    }
  });

  test.each(["22f190", "190200", "3e00", "3e80", "2312000010", "24f190", "3103ff00"])(
    "%s only reads",
    (request) => {
      expect(isReadOnly(hex(request))).toBe(true);
    },
  );

  test.each([
    "",
    "1003",
    "1101",
    "14ffffff",
    "2701",
    "2ef19020261105",
    "3101ff00",
    "3102ff00",
    "34004400000000000000ff",
    "360100",
    "37",
    "2800",
    "8501",
    "ba01",
    "7f2211",
  ])("%s does more than read, or nobody knows", (request) => {
    expect(isReadOnly(hex(request))).toBe(false);
  });

  test.each([
    ["3e80", true],
    ["3e00", false],
    ["1083", true],
    ["31810203", true],
    ["22f190", false],
    ["3680", false],
    ["3e", false],
    ["ba80", false],
  ])("%s suppresses its positive answer: %s", (request, suppresses) => {
    expect(suppressesPositive(hex(request))).toBe(suppresses);
  });
});

describe("NRCs", () => {
  test("every code the ECUs send is in the table", () => {
    const known = nrcTable.map(({ code }) => code);
    for (const code of Object.values(Nrc)) expect(known).toContain(code);
  });

  test("every code of a byte has a name, a meaning and something to try", () => {
    for (let code = 0; code <= 0xff; code++) {
      const entry = describeNrc(code);
      expect(entry.code).toBe(code);
      expect(entry.name).toMatch(/^[a-z][A-Za-z]+$/);
      expect(entry.meaning).toMatch(/^[A-Z].*\.$/);
      expect(entry.try).toMatch(/^[A-Z].*\.$/);
    }
  });

  test("every code of authentication and of the vehicle's conditions has its own", () => {
    const known = nrcTable.map(({ code }) => code);
    const range = (from: number, to: number) =>
      Array.from({ length: to - from + 1 }, (_, index) => from + index);
    // 8E is the only gap in what the standard names.
    const wanted = [...range(0x50, 0x5d), ...range(0x81, 0x8d), ...range(0x8f, 0x94)];
    expect(known).toEqual(expect.arrayContaining(wanted));
    expect(new Set(nrcTable.map(({ meaning }) => meaning)).size).toBe(known.length);
  });

  test("names are unique", () => {
    const names = nrcTable.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });
});

describe("what a response is to a request", () => {
  test.each([
    ["22f190", "62f19057", "positive"],
    ["22f190", "62f191", "unrelated"],
    ["22f190", "62f1", "unrelated"],
    ["22f190", "7f2231", "negative"],
    ["22f190", "7f2278", "pending"],
    ["22f190", "7f2e31", "unrelated"],
    ["22f190", "7f22", "unrelated"],
    ["22f190", "7f223100", "unrelated"],
    ["22f190", "", "unrelated"],
    ["3e80", "7e00", "positive"],
    ["1083", "500300", "positive"],
    ["1083", "500100", "unrelated"],
    ["3101ff00", "7101ff0000", "positive"],
    ["3101ff00", "7101020200", "unrelated"],
    ["360aaaaa", "760a", "positive"],
    ["360aaaaa", "760b", "unrelated"],
    ["ba1234", "fa", "positive"],
    ["", "40", "unrelated"],
  ])("%s → %s is %s", (request, response, kind) => {
    expect(relate(hex(request), hex(response)).kind).toBe(kind);
  });

  test("is decided for any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 8 }), fc.uint8Array({ maxLength: 8 }), (a, b) => {
        expect(["positive", "negative", "pending", "unrelated"]).toContain(relate(a, b).kind);
      }),
    );
  });
});
