import { derChildren, derSequence, DerTag } from "#crypto/der.ts";
import { derInteger, derSequenceOf } from "#crypto/der-writer.ts";

/** The public keys that Uptane and TUF metadata carry here. */
export type PublicKeyAlgorithm =
  | "ecdsa-p256"
  | "ecdsa-p384"
  | "ed25519"
  | "rsa"
  | "ml-dsa-44"
  | "ml-dsa-65"
  | "ml-dsa-87";

/** A SubjectPublicKeyInfo taken apart, without any cryptography. */
export interface PublicKeyInfo {
  algorithm: PublicKeyAlgorithm;
  der: Buffer;
  /** The content of the bit string: the point, the modulus and exponent, or the raw ML-DSA key. */
  key: Buffer;
}

/**
 * Reads a SubjectPublicKeyInfo (RFC 5280 §4.1; RFC 5480, RFC 8410, RFC 8017 and RFC 9881 for the
 * algorithms). Points must be uncompressed and RSA keys in DER, so that one key has one encoding.
 * @returns undefined for another structure, algorithm or length.
 */
function readSpki(der: Buffer): PublicKeyInfo | undefined {
  const [identifier, bits, ...rest] = derSequence(der) ?? [];
  if (identifier?.tag !== DerTag.sequence || bits?.tag !== BIT_STRING || rest.length > 0) {
    return undefined;
  }
  if (derChildren(der, identifier) === undefined || der[bits.start] !== 0) return undefined;
  const encoding = ENCODINGS[der.toString("hex", identifier.start, identifier.end)];
  const key = der.subarray(bits.start + 1, bits.end);
  if (encoding === undefined || !encoding.fits(key)) return undefined;
  return { algorithm: encoding.algorithm, der, key };
}

/** As {@link readSpki}, of a PEM file with nothing around the one key. */
export function readSpkiPem(pem: string): PublicKeyInfo | undefined {
  const text = pem.trimEnd();
  if (!text.startsWith(PEM_HEAD) || !text.endsWith(PEM_FOOT)) return undefined;
  const base64 = text.slice(PEM_HEAD.length, -PEM_FOOT.length).replaceAll(/\s/g, "");
  return /^[A-Za-z0-9+/]+={0,2}$/.test(base64)
    ? readSpki(Buffer.from(base64, "base64"))
    : undefined;
}

/** The Ed25519 key of 32 bytes in hex, as TUF writes it (TUF 1.0 §4.2). */
export function readEd25519Hex(hex: string): PublicKeyInfo | undefined {
  if (!/^[0-9a-f]{64}$/i.test(hex)) return undefined;
  return readSpki(Buffer.from(`302a300506032b6570032100${hex}`, "hex"));
}

const BIT_STRING = 0x03;
const PEM_HEAD = "-----BEGIN PUBLIC KEY-----";
const PEM_FOOT = "-----END PUBLIC KEY-----";

interface Encoding {
  algorithm: PublicKeyAlgorithm;
  fits: (key: Buffer) => boolean;
}

const point = (length: number) => (key: Buffer) => key.length === length && key[0] === 0x04;
const bytes = (length: number) => (key: Buffer) => key.length === length;

/** 2,048 to 8,192 bits of modulus and a short exponent, as DER writes them: OpenSSL takes more. */
function isRsaKey(key: Buffer): boolean {
  if (key.length < 266 || key.length > 1050) return false;
  const numbers = derSequence(key) ?? [];
  const written = numbers.map(({ start, end }) => derInteger(key.toString("hex", start, end)));
  return numbers.length === 2 && derSequenceOf(...written).equals(key);
}

/** By the content of the AlgorithmIdentifier: the object identifier and its parameters. */
const ENCODINGS: Readonly<Record<string, Encoding>> = {
  "06072a8648ce3d020106082a8648ce3d030107": { algorithm: "ecdsa-p256", fits: point(65) },
  "06072a8648ce3d020106052b81040022": { algorithm: "ecdsa-p384", fits: point(97) },
  "06032b6570": { algorithm: "ed25519", fits: bytes(32) },
  "06092a864886f70d0101010500": { algorithm: "rsa", fits: isRsaKey },
  "0609608648016503040311": { algorithm: "ml-dsa-44", fits: bytes(1312) },
  "0609608648016503040312": { algorithm: "ml-dsa-65", fits: bytes(1952) },
  "0609608648016503040313": { algorithm: "ml-dsa-87", fits: bytes(2592) },
};
