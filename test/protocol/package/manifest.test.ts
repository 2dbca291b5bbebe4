import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeManifest, packageId, parseManifest } from "#protocol/package/manifest.ts";
import { PackageError } from "#protocol/package/package-error.ts";
import { canonicalJson } from "#protocol/uptane/canonical-json.ts";
import { SAMPLE_ECUS, sampleZones } from "./sample.ts";

const zones = sampleZones(SAMPLE_ECUS);
const bytes = encodeManifest(zones);

type Loose = Record<string, unknown> & { zones: { ecus: Record<string, unknown>[] }[] };

/** The sample's manifest, changed, as canonical bytes. */
function changed(change: (manifest: Loose) => void): Buffer {
  const manifest = JSON.parse(bytes.toString()) as Loose;
  change(manifest);
  return canonicalJson(manifest);
}

function ecu(manifest: Loose, zone: number, index: number): Record<string, unknown> {
  const found = manifest.zones[zone]?.ecus[index];
  if (found === undefined) throw new Error("no such entry");
  return found;
}

function codeOf(manifest: Uint8Array): string {
  try {
    parseManifest(manifest);
  } catch (error) {
    if (error instanceof PackageError) return error.code;
    throw error;
  }
  return "accepted";
}

describe("a manifest", () => {
  test("is sorted by install order, then by id", () => {
    expect(
      parseManifest(bytes).zones.map((zone) => [zone.zone_id, zone.ecus.map((e) => e.ecu_id)]),
    ).toEqual([
      ["ZG-FRONT", ["ECU_001", "ECU_002"]],
      ["ZG-REAR", ["ECU_003"]],
    ]);
  });

  test("has the same bytes and package id whatever order its content comes in", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(SAMPLE_ECUS, { minLength: 3 }), (ecus) => {
        const again = encodeManifest(sampleZones(ecus));
        expect(again.equals(bytes)).toBe(true);
        expect(packageId(again)).toBe(packageId(bytes));
      }),
    );
    expect(packageId(bytes)).toMatch(/^pkg-[0-9a-f]{32}$/);
  });

  test("of other content has another package id", () => {
    const other = encodeManifest(
      zones.map((zone) => ({ ...zone, ecus: zone.ecus.map((e) => ({ ...e, critical: true })) })),
    );
    expect(packageId(other)).not.toBe(packageId(bytes));
  });

  test("that leaves order to the encoder is not accepted from outside", () => {
    expect(codeOf(changed((m) => m.zones.reverse()))).toBe("PACKAGE_MANIFEST_ORDER");
    expect(codeOf(changed((m) => m.zones[0]?.ecus.reverse()))).toBe("PACKAGE_MANIFEST_ORDER");
  });
});

const malformed: [string, (manifest: Loose) => void][] = [
  ["another format", (m) => (m["format"] = "latticeway-package/2")],
  ["a member too many", (m) => (m["extra"] = 1)],
  ["a member too many in an ECU", (m) => (ecu(m, 0, 0)["extra"] = 1)],
  ["no zones", (m) => (m.zones = [])],
  ["65 zones", (m) => (m.zones = Array.from({ length: 65 }, () => m.zones[0] as never))],
  ["an empty zone", (m) => (m.zones[0] = { zone_id: "Z", ecus: [] } as never)],
  [
    "257 ECUs in a zone",
    (m) => (m.zones = [{ zone_id: "Z", ecus: Array(257).fill(ecu(m, 0, 0)) } as never]),
  ],
  ["an ECU id with a slash", (m) => (ecu(m, 0, 0)["ecu_id"] = "../x")],
  ["an ECU id of dots", (m) => (ecu(m, 0, 0)["ecu_id"] = "..")],
  ["an empty ECU id", (m) => (ecu(m, 0, 0)["ecu_id"] = "")],
  ["an ECU id that is too long", (m) => (ecu(m, 0, 0)["ecu_id"] = "x".repeat(65))],
  ["a version with a slash", (m) => (ecu(m, 0, 0)["version"] = "1/2")],
  [
    "a delta against another base",
    (m) => Object.assign(ecu(m, 0, 0), { encoding: "zstd-delta", from_version: "0.9.0" }),
  ],
  ["another encoding", (m) => (ecu(m, 0, 0)["encoding"] = "gzip")],
  ["a negative length", (m) => (ecu(m, 0, 0)["length"] = -1)],
  ["an empty file", (m) => (ecu(m, 0, 0)["length"] = 0)],
  ["a length beyond ustar", (m) => (ecu(m, 0, 0)["length"] = 8 * 2 ** 30)],
  ["an upper-case hash", (m) => (ecu(m, 0, 0)["sha256"] = "A".repeat(64))],
  ["no image", (m) => delete ecu(m, 0, 0)["image"]],
];

describe("a manifest is refused with", () => {
  test.each(malformed)("%s", (_name, change) => {
    expect(codeOf(changed(change))).toBe("PACKAGE_MANIFEST_MALFORMED");
  });

  test.each<[string, (manifest: Loose) => void]>([
    ["another directory", (m) => (ecu(m, 0, 0)["path"] = "zones/ZG-REAR/ECU_001-1.2.3.bin.zst")],
    ["a way out", (m) => (ecu(m, 0, 0)["path"] = "zones/ZG-FRONT/../ECU_001-1.2.3.bin.zst")],
    ["an absolute one", (m) => (ecu(m, 0, 0)["path"] = "/etc/passwd")],
  ])("a path that is %s", (_name, change) => {
    expect(codeOf(changed(change))).toBe("PACKAGE_MANIFEST_PATH");
  });

  test("one ECU twice, in one zone or in two", () => {
    const twice = changed((m) => m.zones[0]?.ecus.push(ecu(m, 0, 1)));
    expect(codeOf(twice)).toBe("PACKAGE_MANIFEST_DUPLICATE");
    const moved = SAMPLE_ECUS.map((e) => ({ ...e, ecu_id: "ECU_001" }));
    expect(() => encodeManifest(sampleZones(moved))).toThrow(
      expect.objectContaining({ code: "PACKAGE_MANIFEST_DUPLICATE" }) as PackageError,
    );
  });

  test("one zone twice", () => {
    const [front] = zones.filter(({ ecus }) => ecus.length === 2);
    if (front === undefined) throw new Error("the sample has a zone of two ECUs");
    const split = front.ecus.map((one) => ({ ...front, ecus: [one] }));
    expect(() => encodeManifest(split)).toThrow(
      expect.objectContaining({ code: "PACKAGE_MANIFEST_DUPLICATE" }) as PackageError,
    );
  });

  test("two ECUs whose names and versions make one path", () => {
    const image = Buffer.from("x");
    const common = { zone_id: "Z", install_order: 0, image };
    const clash = sampleZones([
      { ...common, ecu_id: "a", version: "1-2" },
      { ...common, ecu_id: "a-1", version: "2" },
    ]);
    expect(() => encodeManifest(clash)).toThrow(
      expect.objectContaining({ code: "PACKAGE_MANIFEST_DUPLICATE" }) as PackageError,
    );
  });

  test.each<[string, (text: string) => string]>([
    ["a blank", (text) => text.replace(":", ": ")],
    ["a line feed at its end", (text) => `${text}\n`],
    ["a key twice", (text) => text.replace('{"format"', '{"format":"x","format"')],
    ["an escape that is not needed", (text) => text.replace("ECU_001", "\\u0045CU_001")],
    [
      "a number written in another way",
      (text) => text.replace('"install_order":1', '"install_order":1.0'),
    ],
    ["no JSON at all", () => "manifest"],
    ["nothing", () => ""],
  ])("%s", (_name, change) => {
    expect(codeOf(Buffer.from(change(bytes.toString())))).toBe("PACKAGE_MANIFEST_NOT_CANONICAL");
  });

  test("more than a mebibyte, before anything is parsed", () => {
    expect(codeOf(Buffer.alloc(1024 * 1024 + 1, "["))).toBe("PACKAGE_MANIFEST_TOO_LARGE");
    expect(codeOf(Buffer.alloc(1024 * 1024, "["))).toBe("PACKAGE_MANIFEST_NOT_CANONICAL");
  });

  test("any bytes: an error of its own, never another", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
        expect(codeOf(noise)).toMatch(/^PACKAGE_MANIFEST_/);
      }),
    );
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const wrong = Buffer.from(bytes);
        wrong[at] = (wrong[at] ?? 0) ^ flip;
        expect(codeOf(wrong)).toMatch(/^PACKAGE_MANIFEST_|^accepted$/);
      }),
    );
  });
});
