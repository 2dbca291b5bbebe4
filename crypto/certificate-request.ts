import { createPublicKey, type KeyObject } from "node:crypto";
import { subjectCommonName } from "./certificate-fields.ts";
import { derChildren, derElement, derOid, derSequence, DerTag, type DerElement } from "./der.ts";
import { der, derBits, derInteger, derOidOf, derSequenceOf } from "./der-writer.ts";
import { keyAlgorithmOf, type KeyAlgorithm } from "./key-algorithm.ts";
import {
  algorithmOfSignature,
  signatureAlgorithm,
  signDer,
  verifyDer,
} from "./signature-algorithm.ts";

export type CsrErrorCode = "CSR_MALFORMED" | "CSR_SIGNATURE_INVALID" | "CSR_ALGORITHM_UNSUPPORTED";

/** A certificate request that nothing is issued for. */
export class CsrError extends Error {
  readonly code: CsrErrorCode;

  constructor(code: CsrErrorCode, message: string) {
    super(message);
    this.name = "CsrError";
    this.code = code;
  }
}

/** What is taken from a PKCS#10 request: nothing else of it gets into a certificate. */
export interface CertificateSigningRequest {
  /** The subject's only common name; undefined when it has none or more than one. */
  commonName: string | undefined;
  publicKey: KeyObject;
  algorithm: KeyAlgorithm;
}

/** Room for a request of the largest key, ML-DSA-87, in PEM. */
export const MAX_CSR_LENGTH = 16_384;

/**
 * Reads a PKCS#10 request (RFC 2986) and checks that whoever made it has the private key.
 * @param text PEM, or DER in base64
 * @throws CsrError
 */
export function readCertificateRequest(text: string): CertificateSigningRequest {
  const bytes = decode(text);
  const [info, algorithm, signature, ...more] = derSequence(bytes) ?? [];
  if (info?.tag !== DerTag.sequence || algorithm?.tag !== DerTag.sequence || more.length > 0) {
    throw malformed("it is no sequence of content, algorithm and signature");
  }
  const { subject, key } = readInfo(bytes, info);
  const publicKey = readKey(bytes.subarray(key.from, key.to));
  const keyAlgorithm = keyAlgorithmOf(publicKey);
  if (keyAlgorithm === undefined) {
    throw unsupported(`keys of type ${publicKey.asymmetricKeyType} are not certified here`);
  }
  const oid = derOid(bytes, derChildren(bytes, algorithm)?.[0]);
  if (algorithmOfSignature(oid) !== keyAlgorithm) {
    throw unsupported(`the request is not signed in the way of its ${keyAlgorithm} key`);
  }
  if (!verifyDer(whole(bytes, info), publicKey, bitsOf(bytes, signature))) {
    throw new CsrError("CSR_SIGNATURE_INVALID", "the request is not signed by its own key");
  }
  return { commonName: subjectCommonName(bytes, subject), publicKey, algorithm: keyAlgorithm };
}

/** A PKCS#10 request for a certificate with this common name, in PEM. */
export function makeCertificateRequest(commonName: string, privateKey: KeyObject): string {
  const publicKey = createPublicKey(privateKey);
  const algorithm = keyAlgorithmOf(publicKey);
  if (algorithm === undefined) {
    throw unsupported(`keys of type ${publicKey.asymmetricKeyType} are not certified here`);
  }
  const name = derSequenceOf(
    der(0x31, derSequenceOf(derOidOf("550403"), der(DerTag.utf8String, Buffer.from(commonName)))),
  );
  const spki = publicKey.export({ type: "spki", format: "der" });
  const info = derSequenceOf(derInteger(0), name, spki, der(ATTRIBUTES));
  const request = derSequenceOf(
    info,
    signatureAlgorithm(algorithm),
    derBits(signDer(info, privateKey)),
  );
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines(request.toString("base64"))}\n-----END CERTIFICATE REQUEST-----\n`;
}

const PEM =
  /^\s*-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END (?:NEW )?CERTIFICATE REQUEST-----\s*$/;
const BASE64 = /^[A-Za-z0-9+/\s]+={0,2}\s*$/;
const ATTRIBUTES = 0xa0;
const BIT_STRING = 0x03;

function decode(text: string): Buffer {
  if (text.length > MAX_CSR_LENGTH) throw malformed(`it is longer than ${MAX_CSR_LENGTH}`);
  const base64 = PEM.exec(text)?.[1] ?? (BASE64.test(text) ? text : undefined);
  if (base64 === undefined) throw malformed("it is neither PEM nor DER in base64");
  return Buffer.from(base64, "base64");
}

/** CertificationRequestInfo: version, subject, subjectPKInfo, [0] attributes. */
function readInfo(bytes: Buffer, info: DerElement) {
  const [version, subject, key, attributes, ...more] = derChildren(bytes, info) ?? [];
  const isComplete =
    version?.tag === DerTag.integer &&
    subject?.tag === DerTag.sequence &&
    key?.tag === DerTag.sequence &&
    attributes?.tag === ATTRIBUTES &&
    more.length === 0;
  if (!isComplete) throw malformed("version, subject, key and attributes are not all there");
  return { subject, key: { from: subject.end, to: key.end } };
}

function readKey(spki: Buffer): KeyObject {
  try {
    return createPublicKey({ key: spki, format: "der", type: "spki" });
  } catch {
    throw unsupported("its public key can't be read");
  }
}

/** An element with its tag and length: it is the first inside its sequence. */
function whole(bytes: Buffer, element: DerElement): Buffer {
  const outer = derElement(bytes, 0, bytes.length);
  return bytes.subarray(outer?.start ?? 0, element.end);
}

function bitsOf(bytes: Buffer, element: DerElement | undefined): Buffer {
  if (element?.tag !== BIT_STRING || bytes[element.start] !== 0) {
    throw malformed("its signature is no string of bytes");
  }
  return bytes.subarray(element.start + 1, element.end);
}

function lines(base64: string): string {
  return base64.match(/.{1,64}/g)?.join("\n") ?? "";
}

function malformed(why: string): CsrError {
  return new CsrError("CSR_MALFORMED", `not a PKCS#10 request: ${why}`);
}

function unsupported(why: string): CsrError {
  return new CsrError("CSR_ALGORITHM_UNSUPPORTED", why);
}
