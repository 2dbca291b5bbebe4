import "reflect-metadata";
import { KeyObject, webcrypto } from "node:crypto";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";

const ECDSA = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const DAY = 86_400_000;

/** A certificate of a test, with the key it is for. */
export interface MadeCertificate {
  der: Buffer;
  pem: string;
  name: string;
  keys: webcrypto.CryptoKeyPair;
  privateKey: KeyObject;
}

export interface CertificateTraits {
  name: string;
  /** Signs itself without one. */
  issuer?: MadeCertificate;
  /** Of an authority. */
  ca?: { pathLength?: number } | undefined;
  usage?: KeyUsageFlags | undefined;
  purposes?: ExtendedKeyUsage[] | undefined;
  uris?: string[];
  notBefore?: Date;
  notAfter?: Date;
  more?: Extension[];
  hash?: "SHA-1" | "SHA-256";
}

/** A certificate as no authority of ours would issue it, with an ECDSA P-256 key. */
async function makeCertificate(traits: CertificateTraits): Promise<MadeCertificate> {
  const { name, issuer, ca, usage, purposes, uris = [], more = [] } = traits;
  const keys = await webcrypto.subtle.generateKey(ECDSA, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(8))).toString("hex"),
      subject: `CN=${name}`,
      issuer: `CN=${issuer?.name ?? name}`,
      notBefore: traits.notBefore ?? new Date(Date.now() - DAY),
      notAfter: traits.notAfter ?? new Date(Date.now() + DAY),
      publicKey: keys.publicKey,
      signingKey: (issuer?.keys ?? keys).privateKey,
      signingAlgorithm: { ...ECDSA, hash: traits.hash ?? "SHA-256" },
      extensions: [
        ...(ca ? [new BasicConstraintsExtension(true, ca.pathLength, true)] : []),
        ...(usage === undefined ? [] : [new KeyUsagesExtension(usage, true)]),
        ...(purposes ? [new ExtendedKeyUsageExtension(purposes)] : []),
        ...(uris.length > 0
          ? [
              new SubjectAlternativeNameExtension(
                uris.map((value) => ({ type: "url", value }) as const),
              ),
            ]
          : []),
        ...more,
      ],
    },
    webcrypto,
  );
  return {
    der: Buffer.from(certificate.rawData),
    pem: certificate.toString("pem"),
    name,
    keys,
    privateKey: KeyObject.from(keys.privateKey),
  };
}

export const root = (traits: Partial<CertificateTraits> = {}): Promise<MadeCertificate> =>
  makeCertificate({ name: "root", ca: {}, usage: KeyUsageFlags.keyCertSign, ...traits });

export const authority = (
  issuer: MadeCertificate,
  traits: Partial<CertificateTraits> = {},
): Promise<MadeCertificate> =>
  makeCertificate({
    name: "authority",
    issuer,
    ca: {},
    usage: KeyUsageFlags.keyCertSign,
    purposes: [ExtendedKeyUsage.clientAuth],
    ...traits,
  });

export const leaf = (
  issuer: MadeCertificate,
  traits: Partial<CertificateTraits> = {},
): Promise<MadeCertificate> =>
  makeCertificate({
    name: "leaf",
    issuer,
    usage: KeyUsageFlags.digitalSignature,
    purposes: [ExtendedKeyUsage.clientAuth],
    ...traits,
  });
