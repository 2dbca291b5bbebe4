import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ProblemError } from "#protocol/api/problem.ts";
import { parsePurl } from "#server/firmware/purl.ts";
import { readSbom } from "#server/firmware/sbom.ts";

const head = { bomFormat: "CycloneDX", specVersion: "1.6" };
const read = (content: unknown) => readSbom(Buffer.from(JSON.stringify(content)));

/** Where and why a document is refused. */
function refusal(document: Buffer | object): { path: string; message: string } | undefined {
  try {
    readSbom(Buffer.isBuffer(document) ? document : Buffer.from(JSON.stringify(document)));
  } catch (error) {
    if (error instanceof ProblemError && error.code === "SBOM_INVALID") return error.errors?.[0];
    throw error;
  }
  return undefined;
}

describe("parsePurl", () => {
  it.each([
    [
      "pkg:deb/debian/openssl@3.0.11-1~deb12u2?arch=arm64",
      "pkg:deb/debian/openssl",
      "3.0.11-1~deb12u2",
    ],
    ["pkg:npm/%40angular/core@1.0.0", "pkg:npm/%40angular/core", "1.0.0"],
    ["pkg:npm/@angular/core@1.0.0", "pkg:npm/%40angular/core", "1.0.0"],
    ["PKG:Generic//zlib/@1.3.1#src/a@b", "pkg:generic/zlib", "1.3.1"],
    [
      "pkg:golang/github.com/a/b@v1.2.3%2Bincompatible",
      "pkg:golang/github.com/a/b",
      "v1.2.3+incompatible",
    ],
    ["pkg:maven/org.apache/log4j?type=jar@x", "pkg:maven/org.apache/log4j", undefined],
    ["pkg:generic/zlib@", "pkg:generic/zlib", undefined],
  ])("reads %s", (text, name, version) => {
    expect(parsePurl(text)).toEqual({ package: name, version });
  });

  it.each([
    "",
    "pkg:",
    "pkg:npm",
    "pkg:npm/",
    "pkg:npm//",
    "pkg:1npm/a",
    "npm/a@1",
    "pkg:npm/%ff@1",
    "pkg:npm/a@%",
    "pkg:npm/a@%00",
  ])("refuses %j", (text) => expect(parsePurl(text)).toBeUndefined());

  it("takes or refuses any text", () => {
    const text = fc.string({ unit: fc.constantFrom("pkg:", "a", "/", "@", "?", "#", "%41", "\n") });
    fc.assert(
      fc.property(text, (each) => {
        expect(parsePurl(each)?.package ?? "pkg:").toMatch(/^pkg:/);
      }),
    );
  });
});

describe("readSbom", () => {
  it("finds every component, also within others and the one that is described", () => {
    const openssl = {
      type: "library",
      name: "openssl",
      version: "3.0.11",
      purl: "pkg:deb/debian/openssl@3.0.11",
    };
    const content = {
      ...head,
      serialNumber: "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
      version: 4,
      metadata: { component: { name: "brake-controller", components: [{ name: "bootloader" }] } },
      components: [
        { name: "rootfs", components: [openssl] },
        { name: "odd", purl: "pkg:none" },
      ],
    };
    const { components, ...rest } = read(content);
    expect(rest).toEqual({
      spec_version: "1.6",
      serial_number: content.serialNumber,
      bom_version: 4,
      sha256: createHash("sha256").update(JSON.stringify(content)).digest("hex"),
    });
    expect(components.map(({ name }) => name)).toEqual([
      "brake-controller",
      "bootloader",
      "rootfs",
      "openssl",
      "odd",
    ]);
    expect(components[3]).toEqual({
      name: "openssl",
      version: "3.0.11",
      purl: openssl.purl,
      package: "pkg:deb/debian/openssl",
      package_version: "3.0.11",
    });
    expect(components[4]).toMatchObject({ purl: "pkg:none", package: null });
  });

  it("takes the least there is", () => {
    expect(read(head)).toMatchObject({ serial_number: null, bom_version: 1, components: [] });
  });

  it("takes as many components, and as deep, as there may be, and no more", () => {
    const many = (count: number) => ({
      ...head,
      components: Array.from({ length: count }, () => ({ name: "a" })),
    });
    expect(read(many(20_000)).components).toHaveLength(20_000);
    expect(refusal(many(20_001))).toMatchObject({ path: "body/components/20000" });
    const deep = (depth: number): object =>
      depth === 0 ? { name: "a" } : { name: "a", components: [deep(depth - 1)] };
    expect(read({ ...head, components: [deep(31)] }).components).toHaveLength(32);
    expect(refusal({ ...head, components: [deep(32)] })?.message).toContain("nested deeper");
  });

  it("refuses one that is nested without end, before a parser is at it", () => {
    const nested = (levels: number) =>
      JSON.stringify({ ...head, properties: 0 }).replace("0}", `${"[".repeat(levels)}"]{\\"["`);
    for (const levels of [1, 127])
      expect(refusal(Buffer.from(nested(levels)))?.message).toBe("is not JSON in UTF-8");
    for (const levels of [128, 8_000_000])
      expect(refusal(Buffer.from(nested(levels)))?.message).toContain("nested deeper");
  });

  const component = (change: object) => ({ ...head, components: [{ name: "a", ...change }] });
  it.each<[string, Buffer | object, string]>([
    ["no JSON", Buffer.from("<bom/>"), "body"],
    ["not UTF-8", Buffer.from([0x22, 0xff, 0x22]), "body"],
    ["a number", Buffer.from("5"), "body"],
    ["an SPDX document", { spdxVersion: "SPDX-2.3" }, "body"],
    ["of another format", { ...head, bomFormat: "cyclonedx" }, "body/bomFormat"],
    ["of an older version", { ...head, specVersion: "1.4" }, "body/specVersion"],
    ["with a serial number that is none", { ...head, serialNumber: "5" }, "body/serialNumber"],
    ["of version 0", { ...head, version: 0 }, "body/version"],
    ["with components that are no list", { ...head, components: {} }, "body/components"],
    ["with a component without a name", component({ name: "" }), "body/components/0/name"],
    ["with a name that can't be kept", component({ name: "a\0" }), "body/components/0/name"],
    [
      "with half a letter",
      Buffer.from(
        '{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"name":"\\ud800"}]}',
      ),
      "body/components/0/name",
    ],
    [
      "with a package URL too long",
      component({ purl: "p".repeat(2001) }),
      "body/components/0/purl",
    ],
    [
      "with a component within that is null",
      component({ components: [null] }),
      "body/components/0/components/0",
    ],
    ["described as nothing", { ...head, metadata: { component: 5 } }, "body/metadata/component"],
  ])("refuses one that is %s", (_, document, path) => {
    expect(refusal(document)?.path).toBe(path);
  });
});
