import "reflect-metadata";
import { X509Certificate, type KeyObject } from "node:crypto";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509Certificate as ParsedCertificate,
} from "@peculiar/x509";
import { derChildren, derElement, derOid, derSequence, DerTag } from "./der.ts";
import { keyAlgorithmOf, type KeyAlgorithm } from "./key-algorithm.ts";
import { algorithmOfSignature } from "./signature-algorithm.ts";

/** Authorities between a leaf and its root, at most. */
const MAX_AUTHORITIES = 4;

/** Why a chain does not hold. */
export type ChainProblem =
  /** It is no row of certificates in DER. */
  | "format"
  /** It does not lead to a root that is trusted, or by way of one that is no authority. */
  | "chain"
  | "signature"
  | "time"
  /** The leaf is not for this purpose, or is an authority itself. */
  | "type"
  /** There is something in it that must be understood and is not. */
  | "content";

export interface VerifiedLeaf {
  certificate: X509Certificate;
  publicKey: KeyObject;
  algorithm: KeyAlgorithm;
}

export type ChainVerdict =
  | { kind: "valid"; leaf: VerifiedLeaf }
  | { kind: "invalid"; problem: ChainProblem };

export interface ChainRules {
  roots: readonly X509Certificate[];
  purpose: "client" | "server";
  now: Date;
  /** Authorities that are known beside those of the chain. */
  authorities?: readonly Uint8Array[];
}

/**
 * Verifies a leaf and the authorities behind it (RFC 5280 §6), without revocation: whoever verifies
 * may be far from any network.
 * @param chain DER, one certificate after the other, the leaf first and the root left out or last
 */
export function verifyChain(chain: Uint8Array, rules: ChainRules): ChainVerdict {
  const [leaf, ...behind] = splitChain(chain) ?? [];
  if (leaf === undefined) return invalid("format");
  const known = [...behind, ...(rules.authorities ?? [])].map(readCertificate);
  const read = readCertificate(leaf);
  const pool = known.filter((one) => one !== undefined);
  if (read === undefined || pool.length < known.length) return invalid("format");
  const path = pathToRoot(read, pool, rules.roots);
  if (typeof path === "string") return invalid(path);
  const problem =
    authorityProblem(path, rules.purpose) ??
    leafProblem(read, rules.purpose) ??
    [read, ...path].map((one) => ownProblem(one, rules.now)).find((each) => each !== undefined);
  if (problem !== undefined) return invalid(problem);
  const { publicKey } = read.certificate;
  const algorithm = keyAlgorithmOf(publicKey);
  if (algorithm === undefined) return invalid("type");
  return { kind: "valid", leaf: { certificate: read.certificate, publicKey, algorithm } };
}

/**
 * Verifies an authority's certificate under the roots, as one that a chain may need.
 * @param authority DER
 */
export function verifyAuthority(
  authority: Uint8Array,
  { roots, purpose, now }: ChainRules,
): ChainProblem | undefined {
  const [der, ...more] = splitChain(authority) ?? [];
  const read = der && more.length === 0 ? readCertificate(der) : undefined;
  if (read === undefined) return "format";
  const path = pathToRoot(read, [], roots);
  if (typeof path === "string") return path;
  return authorityProblem([read, ...path], purpose) ?? ownProblem(read, now);
}

/** The certificates of a PEM bundle. @throws the error of `node:crypto` for one that is none */
export function certificatesOf(bundle: string): X509Certificate[] {
  const parts = bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return parts.map((pem) => new X509Certificate(pem));
}

/** DER certificates, one after the other; undefined when they are none, or too many. */
export function splitChain(bytes: Uint8Array): Uint8Array[] | undefined {
  const parts: Uint8Array[] = [];
  let at = 0;
  while (at < bytes.length) {
    const element = derElement(bytes, at, bytes.length);
    // The leaf, its authorities, and the root where somebody sends it.
    const isOne = element?.tag === DerTag.sequence && parts.length < MAX_AUTHORITIES + 2;
    if (!isOne) return undefined;
    parts.push(bytes.subarray(at, element.end));
    at = element.end;
  }
  return parts.length > 0 ? parts : undefined;
}

interface ReadCertificate {
  certificate: X509Certificate;
  parsed: ParsedCertificate;
}

function readCertificate(der: Uint8Array): ReadCertificate | undefined {
  try {
    const read = {
      certificate: new X509Certificate(der),
      parsed: new ParsedCertificate(Uint8Array.from(der)),
    };
    // What can't be read shows only when it is asked for.
    void [read.certificate.publicKey, read.parsed.extensions];
    return read;
  } catch {
    return undefined;
  }
}

/** The authorities from the leaf's issuer to the root, or why there is no such way. */
function pathToRoot(
  leaf: ReadCertificate,
  pool: readonly ReadCertificate[],
  roots: readonly X509Certificate[],
): ReadCertificate[] | "chain" | "signature" {
  const path: ReadCertificate[] = [];
  let current = leaf;
  for (;;) {
    const named = roots.filter((root) => current.certificate.checkIssued(root));
    const root = named.find((each) => isSignedBy(current, each));
    if (root !== undefined) {
      return [...path, { certificate: root, parsed: new ParsedCertificate(root.raw) }];
    }
    if (named.length > 0) return "signature";
    const issuers = pool.filter(
      (each) => !path.includes(each) && current.certificate.checkIssued(each.certificate),
    );
    const issuer = issuers.find((each) => isSignedBy(current, each.certificate));
    if (issuer === undefined) return issuers.length > 0 ? "signature" : "chain";
    if (path.length >= MAX_AUTHORITIES) return "chain";
    path.push(issuer);
    current = issuer;
  }
}

/** By an algorithm of this product only, so that no weak hash gets in by a side door. */
function isSignedBy({ certificate }: ReadCertificate, issuer: X509Certificate): boolean {
  const { raw } = certificate;
  const algorithm = (derSequence(raw) ?? [])[1];
  const oid = algorithm && derOid(raw, derChildren(raw, algorithm)?.[0]);
  const expected = keyAlgorithmOf(issuer.publicKey);
  if (expected === undefined || algorithmOfSignature(oid) !== expected) return false;
  return certificate.verify(issuer.publicKey);
}

const PURPOSES = {
  client: ExtendedKeyUsage.clientAuth,
  server: ExtendedKeyUsage.serverAuth,
} as const;

/** Each has to be an authority, for this purpose, and for as many below it as there are. */
function authorityProblem(
  path: readonly ReadCertificate[],
  purpose: ChainRules["purpose"],
): ChainProblem | undefined {
  const holds = path.every(({ parsed }, below) => {
    const constraints = parsed.getExtension(BasicConstraintsExtension);
    const isAuthority = constraints?.ca === true && (constraints.pathLength ?? Infinity) >= below;
    return (
      isAuthority &&
      mayUse(parsed, KeyUsageFlags.keyCertSign) &&
      (parsed.getExtension(ExtendedKeyUsageExtension)?.usages.includes(PURPOSES[purpose]) ?? true)
    );
  });
  return holds ? undefined : "chain";
}

function leafProblem(
  { parsed }: ReadCertificate,
  purpose: ChainRules["purpose"],
): ChainProblem | undefined {
  const isAuthority = parsed.getExtension(BasicConstraintsExtension)?.ca === true;
  const usages = parsed.getExtension(ExtendedKeyUsageExtension)?.usages ?? [];
  const isFor =
    usages.includes(PURPOSES[purpose]) && mayUse(parsed, KeyUsageFlags.digitalSignature);
  return !isAuthority && isFor ? undefined : "type";
}

function mayUse(parsed: ParsedCertificate, flag: KeyUsageFlags): boolean {
  const usages = parsed.getExtension(KeyUsagesExtension)?.usages;
  return usages === undefined || (usages & flag) !== 0;
}

/** basicConstraints, keyUsage, extKeyUsage, subjectAltName. */
const UNDERSTOOD = ["2.5.29.19", "2.5.29.15", "2.5.29.37", "2.5.29.17"];

function ownProblem({ certificate, parsed }: ReadCertificate, now: Date): ChainProblem | undefined {
  if (now < certificate.validFromDate || now > certificate.validToDate) return "time";
  const types = parsed.extensions.map(({ type }) => type);
  const isPlain =
    new Set(types).size === types.length &&
    parsed.extensions.every(({ critical, type }) => !critical || UNDERSTOOD.includes(type));
  return isPlain ? undefined : "content";
}

function invalid(problem: ChainProblem): ChainVerdict {
  return { kind: "invalid", problem };
}
