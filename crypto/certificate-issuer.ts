import { X509Certificate, type KeyObject } from "node:crypto";
import { issueCertificate, keyIdentifier, parseCertificate, type Issuer } from "./certificate.ts";
import { readIfPresent } from "./exclusive-file.ts";
import { keyAlgorithmOf, KeyAlgorithm } from "./key-algorithm.ts";
import { authorityFiles } from "./pki-layout.ts";
import { CLOCK_TOLERANCE_MS, issuingAuthority } from "./pki.ts";
import { makeRevocationList, type RevocationListContent } from "./revocation-list.ts";

export interface VehicleCertificateOrder {
  vehicleId: string;
  publicKey: KeyObject;
  /** It is never valid for longer than the authority. */
  lifetimeMs: number;
}

/** Issues vehicles' certificates, so that another authority than ours can stand behind it. */
export interface CertificateIssuer {
  /**
   * A certificate for TLS clients with its chain (leaf first, without the root), PEM.
   * @throws PkiError PKI_CERTIFICATE_MISSING, PKI_KEY_MISSING where keys of this algorithm are not
   *   certified
   */
  issue(order: VehicleCertificateOrder): Promise<string>;
  /** Names the authority that certifies keys of this algorithm now: its key identifier, hex. */
  authority(algorithm: KeyAlgorithm): Promise<string>;
  /** The one of our authorities that issued a certificate; undefined when none did. */
  authorityOf(certificate: X509Certificate): Promise<string | undefined>;
  /** A list of revoked certificates (RFC 5280), signed by that authority, in DER. */
  revocationList(algorithm: KeyAlgorithm, content: RevocationListContent): Promise<Buffer>;
}

/** The issuing authorities of a certificates folder, one for each algorithm; their keys are files. */
export function folderIssuer(folder: string): CertificateIssuer {
  const authorityOf = (algorithm: KeyAlgorithm) => issuingAuthority(folder, "vehicle", algorithm);
  return {
    async issue({ vehicleId, publicKey, lifetimeMs }) {
      const algorithm = keyAlgorithmOf(publicKey);
      if (algorithm === undefined) {
        throw new TypeError(`${publicKey.asymmetricKeyType} keys are not certified here`);
      }
      const issuer = await authorityOf(algorithm);
      const leaf = await issueCertificate({
        tree: "vehicle",
        level: "leaf",
        commonName: vehicleId,
        publicKey,
        issuer,
        ...period(issuer, lifetimeMs),
      });
      return leaf + (issuer.certificate ?? "");
    },
    async authority(algorithm) {
      const { certificate } = await authorityOf(algorithm);
      return keyIdentifier(new X509Certificate(certificate ?? "").publicKey);
    },
    async authorityOf(certificate) {
      for (const algorithm of KeyAlgorithm) {
        const authority = await authorityCertificate(folder, algorithm);
        const isIssuer =
          authority !== undefined &&
          certificate.checkIssued(authority) &&
          certificate.verify(authority.publicKey);
        if (isIssuer) return keyIdentifier(authority.publicKey);
      }
      return undefined;
    },
    revocationList: async (algorithm, content) =>
      makeRevocationList(await authorityOf(algorithm), content),
  };
}

async function authorityCertificate(folder: string, algorithm: KeyAlgorithm) {
  const file = authorityFiles(folder, "vehicle", algorithm, "issuing").certificate;
  const pem = await readIfPresent(file);
  return pem === undefined ? undefined : parseCertificate(file, pem);
}

/** From a little before now, as a vehicle's clock may run behind. */
function period({ certificate }: Issuer, lifetimeMs: number) {
  const now = Date.now();
  const last = new X509Certificate(certificate ?? "").validToDate.getTime();
  return {
    notBefore: new Date(now - Math.min(CLOCK_TOLERANCE_MS, lifetimeMs)),
    notAfter: new Date(Math.min(now + lifetimeMs, last)),
  };
}
