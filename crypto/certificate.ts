// Has to come first: the certificate library's container reads it while it loads.
import "reflect-metadata";
import { createHash, getRandomValues, sign, X509Certificate, type KeyObject } from "node:crypto";
import { isIP } from "node:net";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate as ParsedCertificate,
  X509CertificateGenerator,
  type Extension,
  type JsonGeneralNames,
} from "@peculiar/x509";
import { keyAlgorithmOf, type KeyAlgorithm } from "./key-algorithm.ts";
import { PkiError } from "./pki-error.ts";

/**
 * Separate trees, so that a certificate of one never serves as one of another: the gateway's, the
 * vehicles' towards it, the testers' of diagnostic engineers, and the cars' towards those.
 */
export const CertificateTree = ["server", "vehicle", "tester", "car"] as const;
export type CertificateTree = (typeof CertificateTree)[number];

/** The three levels of a tree. */
export type CertificateLevel = "root" | "issuing" | "leaf";

/** Who signs; a root has no certificate yet and signs itself. */
export interface Issuer {
  certificate: string | undefined;
  privateKey: KeyObject;
}

export interface CertificateRequest {
  tree: CertificateTree;
  level: CertificateLevel;
  commonName: string;
  publicKey: KeyObject;
  issuer: Issuer;
  notBefore: Date;
  notAfter: Date;
  /** Host names and IP addresses of a server's certificate. */
  hostNames?: readonly string[];
  /** Further names, as URIs. */
  uris?: readonly string[];
}

/**
 * Issues an X.509 certificate (RFC 5280; ML-DSA as RFC 9881 says) and returns it as PEM.
 * @throws TypeError when the issuer's key is of an algorithm this product does not use.
 */
export async function issueCertificate(request: CertificateRequest): Promise<string> {
  const { issuer } = request;
  const subject = new Name([{ CN: [request.commonName] }]);
  const issuerName =
    issuer.certificate === undefined
      ? subject
      : new ParsedCertificate(issuer.certificate).subjectName;
  const certificate = await X509CertificateGenerator.create(
    {
      subject,
      issuer: issuerName,
      notBefore: request.notBefore,
      notAfter: request.notAfter,
      publicKey: Uint8Array.from(request.publicKey.export({ type: "spki", format: "der" })),
      ...signingParameters(issuer.privateKey),
      extensions: extensionsOf(request),
    },
    nativeCrypto(issuer.privateKey),
  );
  return `${certificate.toString("pem").trim()}\n`;
}

/**
 * The first certificate of a PEM text.
 * @param file names the source in the error.
 * @throws PkiError PKI_CERTIFICATE_UNREADABLE
 */
export function parseCertificate(file: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new PkiError(
      "PKI_CERTIFICATE_UNREADABLE",
      `${file} holds no certificate in PEM (${(error as Error).message})`,
    );
  }
}

/** Nothing beside these: RFC 9881 §5 forbids key encipherment and agreement to ML-DSA keys. */
function keyUsages(authority: boolean): KeyUsagesExtension {
  if (!authority) return new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true);
  // oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- the library declares one flag, and means a set
  return new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true);
}

function extensionsOf(request: CertificateRequest): Extension[] {
  const { tree, level, issuer, hostNames = [], uris = [] } = request;
  const authority = level !== "leaf";
  const extensions: Extension[] = [
    new BasicConstraintsExtension(authority, level === "issuing" ? 0 : undefined, true),
    keyUsages(authority),
    new SubjectKeyIdentifierExtension(keyIdentifier(request.publicKey)),
  ];
  if (issuer.certificate !== undefined) {
    const issuerKey = new X509Certificate(issuer.certificate).publicKey;
    extensions.push(new AuthorityKeyIdentifierExtension(keyIdentifier(issuerKey)));
  }
  if (level !== "root") {
    // On the issuing certificate it confines everything below it to the tree's purpose.
    extensions.push(new ExtendedKeyUsageExtension([PURPOSES[tree]]));
  }
  const names: JsonGeneralNames = [
    ...hostNames.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value }) as const),
    ...uris.map((value) => ({ type: "url", value }) as const),
  ];
  if (names.length > 0) extensions.push(new SubjectAlternativeNameExtension(names));
  return extensions;
}

const PURPOSES: Record<CertificateTree, ExtendedKeyUsage> = {
  server: ExtendedKeyUsage.serverAuth,
  vehicle: ExtendedKeyUsage.clientAuth,
  tester: ExtendedKeyUsage.clientAuth,
  car: ExtendedKeyUsage.serverAuth,
};

/** RFC 7093 §2, method 4: SHA-256 of the whole SubjectPublicKeyInfo, as hex. */
export function keyIdentifier(publicKey: KeyObject): string {
  return createHash("sha256")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest("hex");
}

const ALGORITHM_IDENTIFIERS: Record<KeyAlgorithm, { name: string; namedCurve?: string }> = {
  "ecdsa-p256": { name: "ECDSA", namedCurve: "P-256" },
  "ml-dsa-44": { name: "ML-DSA-44" },
  "ml-dsa-65": { name: "ML-DSA-65" },
  "ml-dsa-87": { name: "ML-DSA-87" },
};

function signingParameters(privateKey: KeyObject) {
  const algorithm = keyAlgorithmOf(privateKey);
  if (algorithm === undefined) {
    throw new TypeError(`certificates are not signed with ${privateKey.asymmetricKeyType} keys`);
  }
  const identifier = ALGORITHM_IDENTIFIERS[algorithm];
  return {
    signingAlgorithm: { ...identifier, hash: "SHA-256" },
    // The library only asks it for its algorithm and hands it back to `sign` below.
    signingKey: { algorithm: identifier } as unknown as CryptoKey,
  };
}

/**
 * The two functions of WebCrypto that the library needs, done by node:crypto: Node's WebCrypto
 * warns on every start that its ML-DSA is experimental, its node:crypto does not.
 */
function nativeCrypto(privateKey: KeyObject): Crypto {
  const hash = privateKey.asymmetricKeyType === "ec" ? "sha256" : null;
  return {
    getRandomValues,
    subtle: {
      sign: (_algorithm: unknown, _key: unknown, data: ArrayBuffer) =>
        Promise.resolve(
          Uint8Array.from(
            sign(hash, new Uint8Array(data), { key: privateKey, dsaEncoding: "ieee-p1363" }),
          ).buffer,
        ),
    },
  } as unknown as Crypto;
}
