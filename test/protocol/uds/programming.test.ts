import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteError } from "#protocol/bytes/reader.ts";
import {
  decodeBankExpectation,
  decodeMaxBlockLength,
  decodeRequestDownload,
  encodeBankExpectation,
  encodeMaxBlockLength,
  encodeRequestDownload,
  startRoutine,
} from "#protocol/uds/programming.ts";
import {
  NegativeResponseError,
  positivePayload,
  UnexpectedResponseError,
} from "#protocol/uds/response.ts";
import { demoSecrets, hmacKey } from "#protocol/uds/security-key.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytes = (text: string) => Buffer.from(text, "hex");

describe("the programming flow's messages", () => {
  test("have their golden bytes", () => {
    expect(hex(startRoutine(0xff00))).toBe("3101ff00");
    expect(hex(encodeRequestDownload({ dataFormat: 0, address: 0, length: 0x10_0000 }))).toBe(
      "3400440000000000100000",
    );
    expect(hex(encodeRequestDownload({ dataFormat: 0, address: 0, length: 2 ** 32 }))).toBe(
      "340054000000000100000000",
    );
    expect(hex(encodeMaxBlockLength(0xffff))).toBe("20ffff");
    const sha256 = new Uint8Array(32).fill(0xab);
    expect(hex(encodeBankExpectation({ sha256, version: "2.0.0" }))).toBe(
      `${"ab".repeat(32)}05322e302e30`,
    );
  });

  test("what a bank has to contain comes back, and is refused cut anywhere", () => {
    const version = fc.string({ minLength: 1, maxLength: 16, unit: "grapheme-ascii" });
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), version, (sha256, version) => {
        const record = encodeBankExpectation({ sha256, version });
        const decoded = decodeBankExpectation(record);
        expect(decoded.version).toBe(version);
        expect(hex(decoded.sha256)).toBe(hex(sha256));
        for (let length = 0; length < record.length; length++) {
          expect(() => decodeBankExpectation(record.subarray(0, length))).toThrow(ByteError);
        }
        expect(() => decodeBankExpectation(Buffer.concat([record, bytes("00")]))).toThrow(
          ByteError,
        );
      }),
    );
  });

  test("a hash or version of the wrong length is not sent", () => {
    const sha256 = new Uint8Array(32);
    expect(() => encodeBankExpectation({ sha256: sha256.subarray(1), version: "1" })).toThrow(
      RangeError,
    );
    expect(() => encodeBankExpectation({ sha256, version: "" })).toThrow(RangeError);
    expect(() => encodeBankExpectation({ sha256, version: "x".repeat(65) })).toThrow(RangeError);
  });

  test("a download comes back with any field sizes", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 31 - 1), fc.nat(2 ** 31 - 1), (address, length) => {
        const request = encodeRequestDownload({ dataFormat: 0x11, address, length });
        expect(decodeRequestDownload(request)).toEqual({ dataFormat: 0x11, address, length });
        for (let cut = 0; cut < request.length; cut++) {
          expect(() => decodeRequestDownload(request.subarray(0, cut))).toThrow(/needs \d+ bytes/);
        }
      }),
    );
    expect(decodeRequestDownload(bytes("3400110210"))).toEqual({
      dataFormat: 0,
      address: 2,
      length: 16,
    });
    expect(() => decodeRequestDownload(bytes("34000000"))).toThrow(RangeError);
    expect(() => decodeRequestDownload(bytes("340066000000000000000000000000"))).toThrow(
      RangeError,
    );
  });

  test("the block length is taken as the ECU writes it", () => {
    expect(decodeMaxBlockLength(bytes("1082"))).toBe(0x82);
    expect(decodeMaxBlockLength(bytes("20ffff"))).toBe(0xffff);
    expect(decodeMaxBlockLength(bytes("4000010002"))).toBe(0x10002);
    for (const cut of ["", "20", "20ff", "20ffff00", "100a0b"]) {
      expect(() => decodeMaxBlockLength(bytes(cut))).toThrow(ByteError);
    }
    for (const impossible of ["00", "500000000000", "1002"]) {
      expect(() => decodeMaxBlockLength(bytes(impossible))).toThrow(RangeError);
    }
  });
});

describe("a positive answer", () => {
  test("is what follows its SID", () => {
    expect(hex(positivePayload(bytes("22f190"), bytes("62f19041")))).toBe("f19041");
  });

  test("or an error that names service and code", () => {
    const refused = () => positivePayload(bytes("2701"), bytes("7f2737"));
    expect(refused).toThrow(NegativeResponseError);
    expect(refused).toThrow("SecurityAccess refused with NRC 0x37 requiredTimeDelayNotExpired");
    expect(() => positivePayload(bytes("2701"), bytes("6703"))).toThrow(UnexpectedResponseError);
    expect(() => positivePayload(bytes("2701"), bytes("7f2778"))).toThrow(UnexpectedResponseError);
  });
});

describe("the demonstration key", () => {
  const seed = bytes("000102030405060708090a0b0c0d0e0f");

  test("is known for a known seed", () => {
    const key = hmacKey({ 1: "00".repeat(16) })(1, seed);
    expect(hex(key)).toBe("1884a6fcc33b04ba88208500d6538a0c");
  });

  test("differs by level, secret and seed", () => {
    const keyOf = hmacKey(demoSecrets);
    const keys = [
      keyOf(1, seed),
      keyOf(3, seed),
      hmacKey({ 1: "aa" })(1, seed),
      keyOf(1, bytes("00")),
    ];
    expect(new Set(keys.map(hex)).size).toBe(keys.length);
  });

  test("a level without a secret has none", () => {
    expect(() => hmacKey(demoSecrets)(5, seed)).toThrow(RangeError);
  });
});
