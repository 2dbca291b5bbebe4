import { describe, expect, test } from "vitest";
import { decodeEcuBundle, encodeEcuBundle, MAX_BUNDLE_BYTES } from "#protocol/uptane/ecu-bundle.ts";
import { parseMetadata } from "#protocol/uptane/metadata.ts";
import { refusal } from "./run.ts";
import { signMetadata, type TestRepository } from "./test-repository.ts";
import { repositories } from "./vehicle.ts";

function filesOf({ files, root, targets }: TestRepository) {
  const file = (name: string) => files.get(name) ?? Buffer.alloc(0);
  const versions = Array.from({ length: root.version }, (_, index) => index + 1);
  return {
    roots: versions.map((version) => file(`${version}.root.json`)),
    targets: file(`${targets.version}.targets.json`),
  };
}

const { director } = repositories();
director.rotate("root");
director.rotate("targets");
director.publishAll();
const files = filesOf(director);
const bundle = encodeEcuBundle(files);

describe("a bundle for ECUs", () => {
  test("gives back what was signed, and the same signatures", () => {
    const decoded = decodeEcuBundle(bundle);
    expect(decoded.roots).toHaveLength(3);
    const pairs = [
      ...files.roots.map((root, index) => ["root", root, decoded.roots[index]] as const),
      ["targets", files.targets, decoded.targets] as const,
    ];
    for (const [role, before, after] of pairs) {
      const given = parseMetadata(role, before);
      const got = parseMetadata(role, after ?? Buffer.alloc(0));
      expect(got.signedBytes.equals(given.signedBytes)).toBe(true);
      expect(got.signatures).toEqual(given.signatures);
      expect(got.signed).toEqual(given.signed);
    }
    const alone = encodeEcuBundle({ roots: [], targets: files.targets });
    expect(alone.length).toBeLessThan(0.6 * files.targets.length);
  });

  test("keeps key ids that are no hash, and any character of a string", () => {
    const key = director.signers.get("targets")?.[0];
    if (key === undefined) throw new Error("no key");
    const signed = { ...director.targets, note: 'tab\tquote"é\u0001\\' };
    const targets = signMetadata(signed, [{ ...key, id: "KÉY-1" }]);
    const decoded = decodeEcuBundle(encodeEcuBundle({ roots: [], targets }));
    const got = parseMetadata("targets", decoded.targets);
    expect(got.signed).toEqual(signed);
    expect(got.signatures[0]?.keyid).toBe("KÉY-1");
  });

  test("that is cut anywhere, or longer, is refused", () => {
    for (let length = 0; length < bundle.length; length += 61) {
      expect(refusal(() => decodeEcuBundle(bundle.subarray(0, length)))).toBe(
        "UPTANE_METADATA_MALFORMED",
      );
    }
    const longer = Buffer.concat([bundle, Buffer.of(0)]);
    expect(refusal(() => decodeEcuBundle(longer))).toBe("UPTANE_METADATA_MALFORMED");
    const other = Buffer.from(bundle);
    other[0] = 2;
    expect(refusal(() => decodeEcuBundle(other))).toBe("UPTANE_METADATA_MALFORMED");
  });

  const start = Buffer.of(1, 0, 0, 0, 0, 2, 0x7b, 0x7d);
  test.each([
    ["itself", Buffer.alloc(MAX_BUNDLE_BYTES + 1)],
    ["its roots", Buffer.of(1, 65)],
    ["a file", Buffer.of(1, 0, 0xff, 0xff, 0xff, 0xff)],
    ["its signatures", Buffer.concat([start, Buffer.of(65)])],
    ["a signature", Buffer.concat([start, Buffer.of(1, 1, 0x61, 0xff, 0xff)])],
  ])("is refused before anything is allocated when %s is too much", (_, bytes) => {
    expect(refusal(() => decodeEcuBundle(bytes))).toBe("UPTANE_METADATA_TOO_LARGE");
  });

  test("is not made of too much", () => {
    const { targets } = files;
    const many = Array.from({ length: 65 }, () => files.roots[0] ?? targets);
    expect(refusal(() => encodeEcuBundle({ roots: many, targets }))).toBe(
      "UPTANE_METADATA_TOO_LARGE",
    );
    const long = signMetadata({ ...director.targets, note: "x".repeat(MAX_BUNDLE_BYTES) }, []);
    expect(refusal(() => encodeEcuBundle({ roots: [], targets: long }))).toBe(
      "UPTANE_METADATA_TOO_LARGE",
    );
  });
});
