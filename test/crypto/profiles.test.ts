import { describe, expect, test } from "vitest";
import { groupCode, groupName } from "#crypto/groups.ts";
import { findProfile, profileOf, TLS_PROFILES } from "#crypto/profiles.ts";

/** The table of the interface description, row by row. */
const TABLE: [number, string, string[], string][] = [
  [0, "X25519 + ECDSA-P256", ["X25519"], "ecdsa-p256"],
  [1, "ML-KEM-512 + ECDSA-P256", ["MLKEM512"], "ecdsa-p256"],
  [2, "ML-KEM-768 + ECDSA-P256", ["X25519MLKEM768", "SecP256r1MLKEM768"], "ecdsa-p256"],
  [3, "ML-KEM-1024 + ECDSA-P256", ["SecP384r1MLKEM1024"], "ecdsa-p256"],
  [4, "ML-KEM-512 + ML-DSA-44", ["MLKEM512"], "ml-dsa-44"],
  [5, "ML-KEM-512 + ML-DSA-65", ["MLKEM512"], "ml-dsa-65"],
  [6, "ML-KEM-512 + ML-DSA-87", ["MLKEM512"], "ml-dsa-87"],
  [7, "ML-KEM-768 + ML-DSA-44", ["X25519MLKEM768", "MLKEM768"], "ml-dsa-44"],
  [8, "ML-KEM-768 + ML-DSA-65", ["X25519MLKEM768", "MLKEM768"], "ml-dsa-65"],
  [9, "ML-KEM-768 + ML-DSA-87", ["X25519MLKEM768", "MLKEM768"], "ml-dsa-87"],
  [10, "ML-KEM-1024 + ML-DSA-44", ["SecP384r1MLKEM1024", "MLKEM1024"], "ml-dsa-44"],
  [11, "ML-KEM-1024 + ML-DSA-65", ["SecP384r1MLKEM1024", "MLKEM1024"], "ml-dsa-65"],
  [12, "ML-KEM-1024 + ML-DSA-87", ["SecP384r1MLKEM1024", "MLKEM1024"], "ml-dsa-87"],
];

describe("TLS profiles", () => {
  test("are the thirteen of the table", () => {
    expect(
      TLS_PROFILES.map(({ id, name, groups, certificate }) => [id, name, groups, certificate]),
    ).toEqual(TABLE);
  });

  test.each(TABLE)(
    "%i is found by number, and by what its connections negotiate",
    (id, name, groups, certificate) => {
      expect(findProfile(id)?.name).toBe(name);
      for (const group of groups) {
        expect(profileOf({ group, peerKeyType: certificate })?.id).toBe(id);
      }
    },
  );

  test.each([
    ["MLKEM768", "ecdsa-p256"],
    ["X25519", "ml-dsa-65"],
    ["P-256", "ecdsa-p256"],
    ["X25519MLKEM768", "rsa"],
    ["X25519MLKEM768", undefined],
  ])("none has %s with %s", (group, peerKeyType) => {
    expect(profileOf({ group, peerKeyType })).toBeUndefined();
  });

  test.each([-1, 13, 2.5, Number.NaN])("none has the number %d", (id) => {
    expect(findProfile(id)).toBeUndefined();
  });
});

describe("named groups", () => {
  test.each([
    [0x001d, "X25519"],
    [0x0017, "P-256"],
    [0x0200, "MLKEM512"],
    [0x11eb, "SecP256r1MLKEM768"],
    [0x11ec, "X25519MLKEM768"],
    [0x11ed, "SecP384r1MLKEM1024"],
  ])("%i is %s", (code, name) => {
    expect(groupName(code)).toBe(name);
    expect(groupCode(name)).toBe(code);
  });

  test("have OpenSSL's other names, and a number where there is no name", () => {
    expect(groupCode("prime256v1")).toBe(0x0017);
    expect(groupCode("nonsense")).toBeUndefined();
    expect(groupName(0x0a0a)).toBe("0x0a0a");
  });
});
