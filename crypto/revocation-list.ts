import { createPublicKey, X509Certificate, type KeyObject } from "node:crypto";
import { keyIdentifier, type Issuer } from "./certificate.ts";
import { derChildren, derSequence, DerTag } from "./der.ts";
import { der, derInteger, derOidOf, derSequenceOf, derTime, derBits } from "./der-writer.ts";
import { keyAlgorithmOf } from "./key-algorithm.ts";
import { signatureAlgorithm, signDer } from "./signature-algorithm.ts";

/** Reasons of RFC 5280 §5.3.1 that concern a vehicle's certificate, with their numbers. */
export const REVOCATION_REASONS = {
  unspecified: 0,
  key_compromise: 1,
  affiliation_changed: 3,
  superseded: 4,
  cessation_of_operation: 5,
  privilege_withdrawn: 9,
} as const;
export type RevocationReason = keyof typeof REVOCATION_REASONS;

export interface RevokedCertificate {
  /** Hex. */
  serial: string;
  revokedAt: Date;
  reason: RevocationReason;
}

export interface RevocationListContent {
  /** Higher than that of any list before it. */
  number: number;
  thisUpdate: Date;
  nextUpdate: Date;
  revoked: readonly RevokedCertificate[];
}

/**
 * A complete certificate revocation list (RFC 5280 §5), version 2, in DER.
 * @throws TypeError when the issuer's key is of an algorithm this product does not use.
 */
export function makeRevocationList(issuer: Issuer, content: RevocationListContent): Buffer {
  const publicKey = createPublicKey(issuer.privateKey);
  const algorithm = keyAlgorithmOf(publicKey);
  if (algorithm === undefined || issuer.certificate === undefined) {
    throw new TypeError(
      "a revocation list needs an authority with a certificate and a key of ours",
    );
  }
  const entries = content.revoked.map(entry);
  const list = derSequenceOf(
    derInteger(VERSION_2),
    signatureAlgorithm(algorithm),
    subjectName(issuer.certificate),
    derTime(content.thisUpdate),
    derTime(content.nextUpdate),
    // §5.1.2.6: the list of entries must be absent rather than empty.
    ...(entries.length === 0 ? [] : [derSequenceOf(...entries)]),
    der(CRL_EXTENSIONS, derSequenceOf(authorityKey(publicKey), crlNumber(content.number))),
  );
  return derSequenceOf(
    list,
    signatureAlgorithm(algorithm),
    derBits(signDer(list, issuer.privateKey)),
  );
}

const VERSION_2 = 1;
const CRL_EXTENSIONS = 0xa0;
const KEY_IDENTIFIER = 0x80;
const OCTET_STRING = 0x04;
const ENUMERATED = 0x0a;
const CRL_NUMBER = "551d14";
const REASON_CODE = "551d15";
const AUTHORITY_KEY_IDENTIFIER = "551d23";

function entry({ serial, revokedAt, reason }: RevokedCertificate): Buffer {
  // §5.3.1: the reason "unspecified" is said by leaving it out.
  const extensions =
    reason === "unspecified"
      ? []
      : [
          derSequenceOf(
            extension(REASON_CODE, der(ENUMERATED, Buffer.of(REVOCATION_REASONS[reason]))),
          ),
        ];
  return derSequenceOf(derInteger(serial), derTime(revokedAt), ...extensions);
}

function authorityKey(publicKey: KeyObject): Buffer {
  const id = der(KEY_IDENTIFIER, Buffer.from(keyIdentifier(publicKey), "hex"));
  return extension(AUTHORITY_KEY_IDENTIFIER, derSequenceOf(id));
}

function crlNumber(number: number): Buffer {
  return extension(CRL_NUMBER, derInteger(number));
}

function extension(oid: string, value: Buffer): Buffer {
  return derSequenceOf(derOidOf(oid), der(OCTET_STRING, value));
}

/** The issuer's own name, to the byte: clients compare it with the certificates' issuer. */
function subjectName(pem: string): Buffer {
  const { raw } = new X509Certificate(pem);
  const [tbs] = derSequence(raw) ?? [];
  const fields = tbs === undefined ? [] : (derChildren(raw, tbs) ?? []);
  // [0] version, serialNumber, signature, issuer, validity, subject
  const [validity, subject] = fields.slice(4, 6);
  if (validity === undefined || subject?.tag !== DerTag.sequence) {
    throw new TypeError("the authority's certificate has no subject");
  }
  return raw.subarray(validity.end, subject.end);
}
