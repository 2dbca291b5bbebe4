import "reflect-metadata";
import { X509Certificate } from "node:crypto";
import { ExtendedKeyUsage, Extension, KeyUsageFlags } from "@peculiar/x509";
import { beforeAll, describe, expect, test } from "vitest";
import { splitChain, verifyAuthority, verifyChain } from "#crypto/certificate-chain.ts";
import { certificateUris } from "#crypto/certificate-uris.ts";
import {
  authority,
  leaf,
  root,
  type CertificateTraits,
  type MadeCertificate,
} from "./made-certificate.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

let trusted: MadeCertificate;
let issuing: MadeCertificate;
let own: MadeCertificate;

beforeAll(async () => {
  trusted = await root();
  issuing = await authority(trusted);
  own = await leaf(issuing, { uris: ["urn:a", "urn:b"] });
});

const rules = () => ({
  roots: [new X509Certificate(trusted.der)],
  purpose: "client" as const,
  now: new Date(),
});

function verdict(chain: readonly MadeCertificate[], more: object = {}): string {
  const verified = verifyChain(Buffer.concat(chain.map(({ der }) => der)), { ...rules(), ...more });
  return verified.kind === "valid" ? "valid" : verified.problem;
}

describe("a chain", () => {
  test("holds with its authorities behind it, in any order, with or without the root", async () => {
    const second = await authority(issuing, { name: "second" });
    const below = await leaf(second);
    expect(verdict([own, issuing])).toBe("valid");
    expect(verdict([own, issuing, trusted])).toBe("valid");
    expect(verdict([below, second, issuing])).toBe("valid");
    expect(verdict([below, issuing, second])).toBe("valid");
    expect(verdict([await leaf(trusted)])).toBe("valid");
  });

  test("tells whose it is", () => {
    const chain = Buffer.concat([own.der, issuing.der]);
    expect(verifyChain(chain, rules())).toMatchObject({
      kind: "valid",
      leaf: { algorithm: "ecdsa-p256", certificate: { subject: "CN=leaf" } },
    });
    expect(certificateUris(own.der)).toEqual(["urn:a", "urn:b"]);
    expect(certificateUris(issuing.der)).toEqual([]);
  });

  test("may leave out what is known already", () => {
    expect(verdict([own])).toBe("chain");
    expect(verdict([own], { authorities: [issuing.der] })).toBe("valid");
  });

  test("leads to one of several roots, also of the same name", async () => {
    const other = new X509Certificate((await root()).der);
    const { roots } = rules();
    expect(verdict([own, issuing], { roots: [other, ...roots] })).toBe("valid");
    expect(verdict([own, issuing], { roots: [other] })).not.toBe("valid");
    expect(verdict([own, issuing], { roots: [] })).toBe("chain");
  });

  test("is not made trusted by a root that it brings along", async () => {
    const foreign = await root({ name: "foreign" });
    expect(verdict([await leaf(foreign), foreign])).toBe("chain");
  });

  test("that runs in a circle ends", async () => {
    const first = await authority(trusted, { name: "first" });
    const second = await authority({ ...first, name: "second" }, { name: "first" });
    const third = await authority({ ...second, name: "first" }, { name: "second" });
    expect(verdict([await leaf(third), third, second])).not.toBe("valid");
  });

  test("is of a bounded length", async () => {
    const path: MadeCertificate[] = [];
    for (let n = 0; n < 5; n++) {
      path.unshift(await authority(path[0] ?? trusted, { name: `authority ${n}` }));
    }
    const [last, ...before] = path;
    expect(verdict([await leaf(before[0] ?? issuing), ...before])).toBe("valid");
    expect(verdict([await leaf(last ?? issuing), ...path])).toBe("chain");
    expect(splitChain(Buffer.concat(Array.from({ length: 7 }, () => own.der)))).toBeUndefined();
  });

  const leaves: [string, Partial<CertificateTraits>, string][] = [
    ["that is over", { notAfter: new Date(Date.now() - HOUR) }, "time"],
    ["that has not begun", { notBefore: new Date(Date.now() + HOUR) }, "time"],
    ["for servers", { purposes: [ExtendedKeyUsage.serverAuth] }, "type"],
    ["for no purpose", { purposes: undefined }, "type"],
    ["whose key may not sign", { usage: KeyUsageFlags.keyEncipherment }, "type"],
    ["that is an authority", { ca: {}, usage: KeyUsageFlags.digitalSignature }, "type"],
    [
      "with something critical that nobody understands",
      { more: [new Extension("1.2.3.4", true, Uint8Array.of(5, 0))] },
      "content",
    ],
    [
      "with an extension twice",
      { more: [1, 2].map((n) => new Extension("1.2.3.4", false, Uint8Array.of(2, 1, n))) },
      "content",
    ],
    ["signed with SHA-1", { hash: "SHA-1" }, "signature"],
  ];
  test.each(leaves)("with a leaf %s does not hold", async (_, traits, problem) => {
    expect(verdict([await leaf(issuing, traits), issuing])).toBe(problem);
  });

  test("does not mind what is not critical", async () => {
    const more = [new Extension("1.2.3.4", false, Uint8Array.of(5, 0))];
    expect(verdict([await leaf(issuing, { more }), issuing])).toBe("valid");
  });

  const authorities: [string, Partial<CertificateTraits>, string][] = [
    ["that is over", { notAfter: new Date(Date.now() - HOUR) }, "time"],
    ["that is none", { ca: undefined, usage: KeyUsageFlags.digitalSignature }, "chain"],
    ["that may not sign certificates", { usage: KeyUsageFlags.cRLSign }, "chain"],
    ["for servers", { purposes: [ExtendedKeyUsage.serverAuth] }, "chain"],
    [
      "with something critical that nobody understands",
      { more: [new Extension("2.5.29.30", true, Uint8Array.of(0x30, 0))] },
      "content",
    ],
  ];
  test.each(authorities)("with an authority %s does not hold", async (_, traits, problem) => {
    const made = await authority(trusted, traits);
    expect(verdict([await leaf(made), made])).toBe(problem);
    expect(verifyAuthority(made.der, rules())).toBe(problem);
  });

  test("does not go by way of another leaf", async () => {
    const between = await leaf(issuing, { name: "between" });
    expect(verdict([await leaf(between), between, issuing])).toBe("chain");
  });

  test("has no more authorities than the one above allows", async () => {
    const narrow = await authority(trusted, { ca: { pathLength: 0 } });
    expect(verdict([await leaf(narrow), narrow])).toBe("valid");
    const second = await authority(narrow, { name: "second" });
    expect(verdict([await leaf(second), second, narrow])).toBe("chain");
  });

  test("ends with its root", () => {
    const later = new Date(Date.now() + 2 * DAY);
    expect(verdict([own, issuing], { now: later })).toBe("time");
  });

  test("cut anywhere, or with a bit turned, does not hold", () => {
    const chain = Buffer.concat([own.der, issuing.der]);
    for (let length = 0; length < chain.length; length++) {
      const { kind } = verifyChain(chain.subarray(0, length), rules());
      expect([length, kind]).toEqual([length, "invalid"]);
    }
    for (let at = 0; at < own.der.length; at++) {
      const turned = Buffer.from(chain);
      turned[at] = (turned[at] ?? 0) ^ 0x01;
      expect([at, verifyChain(turned, rules()).kind]).toEqual([at, "invalid"]);
    }
  });

  test("whose signature is wrong is told apart", () => {
    const chain = Buffer.concat([own.der, issuing.der]);
    const turned = Buffer.from(chain);
    turned[own.der.length - 1] = (turned[own.der.length - 1] ?? 0) ^ 0x01;
    expect(verifyChain(turned, rules())).toEqual({ kind: "invalid", problem: "signature" });
  });
});

test("an authority is verified by itself", async () => {
  expect(verifyAuthority(issuing.der, rules())).toBeUndefined();
  expect(verifyAuthority(own.der, rules())).toBe("chain");
  expect(verifyAuthority(Buffer.concat([issuing.der, issuing.der]), rules())).toBe("format");
  expect(verifyAuthority((await authority(await root({ name: "x" }))).der, rules())).toBe("chain");
});
