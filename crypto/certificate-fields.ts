import { derChildren, derOid, derSequence, DerTag, derTimeOf, type DerElement } from "./der.ts";

/** What a connection's log and identity need of a certificate. */
export interface CertificateFields {
  /** `ecdsa-p256`, `ml-dsa-65`, `rsa` …; `other` for one this product has no name for. */
  keyType: string;
  /** The subject's only common name; undefined when it has none or more than one. */
  commonName: string | undefined;
  /** When it ends, in milliseconds since 1970; undefined when that can't be read. */
  notAfter: number | undefined;
}

/**
 * Reads a few fields of a certificate that OpenSSL has parsed already: a small part of the time that
 * Node's X509Certificate takes, and this runs in every handshake.
 * @param certificate DER (RFC 5280 §4.1).
 * @returns undefined when it isn't a certificate.
 */
export function certificateFields(certificate: Uint8Array): CertificateFields | undefined {
  const [tbs] = derSequence(certificate) ?? [];
  const fields = tbs === undefined ? undefined : derChildren(certificate, tbs);
  if (fields === undefined) return undefined;
  // TBSCertificate: [0] version, serialNumber, signature, issuer, validity, subject, key. A
  // certificate of version 1 has no [0].
  const first = fields[0]?.tag === VERSION ? 1 : 0;
  const validity = fields[first + 3];
  const subject = fields[first + 4];
  const key = fields[first + 5];
  if (subject?.tag !== DerTag.sequence || key?.tag !== DerTag.sequence) return undefined;
  return {
    keyType: keyType(certificate, key),
    commonName: subjectCommonName(certificate, subject),
    notAfter: validity && derTimeOf(certificate, derChildren(certificate, validity)?.[1]),
  };
}

const VERSION = 0xa0;
const EC_PUBLIC_KEY = "2a8648ce3d0201";
const COMMON_NAME = "550403";

const KEY_TYPES: Partial<Record<string, string>> = {
  "608648016503040311": "ml-dsa-44",
  "608648016503040312": "ml-dsa-65",
  "608648016503040313": "ml-dsa-87",
  "2a864886f70d010101": "rsa",
  "2b6570": "ed25519",
  "2b6571": "ed448",
};

const CURVES: Partial<Record<string, string>> = {
  "2a8648ce3d030107": "ecdsa-p256",
  "2b81040022": "ecdsa-p384",
  "2b81040023": "ecdsa-p521",
};

function keyType(bytes: Uint8Array, key: DerElement): string {
  const [algorithm] = derChildren(bytes, key) ?? [];
  if (algorithm === undefined) return "other";
  const [oid, parameters] = derChildren(bytes, algorithm) ?? [];
  const name = derOid(bytes, oid);
  const known =
    name === EC_PUBLIC_KEY ? CURVES[derOid(bytes, parameters) ?? ""] : KEY_TYPES[name ?? ""];
  return known ?? "other";
}

/** The only common name of a Name (RFC 5280 §4.1.2.4); undefined for none or more than one. */
export function subjectCommonName(bytes: Uint8Array, subject: DerElement): string | undefined {
  const names: string[] = [];
  for (const set of derChildren(bytes, subject) ?? []) {
    for (const attribute of derChildren(bytes, set) ?? []) {
      const [type, value] = derChildren(bytes, attribute) ?? [];
      if (derOid(bytes, type) !== COMMON_NAME) continue;
      if (value?.tag !== DerTag.utf8String && value?.tag !== DerTag.printableString) {
        return undefined;
      }
      names.push(Buffer.from(bytes.subarray(value.start, value.end)).toString("utf8"));
    }
  }
  return names.length === 1 ? names[0] : undefined;
}
