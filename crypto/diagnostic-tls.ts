import type { ConnectionOptions, TlsOptions, TLSSocket } from "node:tls";
import { certificateUris } from "./certificate-uris.ts";
import { testerGrant, VEHICLE_URI } from "./tester-role.ts";
import type { TlsIdentity } from "./tls.ts";

/**
 * What a car's connector does about testers' certificates. `optional`: who shows none, or a wrong
 * one, comes in without being authenticated. `required`: its connection is cut.
 */
export type TesterCertificates = "none" | "optional" | "required";

export interface CarTlsSettings {
  identities: readonly TlsIdentity[];
  /** PEM bundle of the roots that testers' certificates lead to. */
  testerCa: string;
  clientCertificates: TesterCertificates;
  /** 1.2 for testers as ISO 13400-2:2019 knows them. */
  minVersion: 1.2 | 1.3;
}

/**
 * Options for the TLS port of a car's connector (ISO 13400-2:2019). A tester is bought, not made by
 * us: the hybrid groups come first, and the classical ones are there for who has no other.
 */
export function carTlsOptions(settings: CarTlsSettings): TlsOptions {
  return {
    minVersion: settings.minVersion === 1.2 ? "TLSv1.2" : "TLSv1.3",
    maxVersion: "TLSv1.3",
    ciphers: CIPHERS,
    key: settings.identities.map(({ key }) => key),
    cert: settings.identities.map(({ chain }) => chain),
    ca: settings.testerCa,
    ecdhCurve: GROUPS,
    sigalgs: SIGNATURES,
    honorCipherOrder: true,
    requestCert: settings.clientCertificates !== "none",
    rejectUnauthorized: settings.clientCertificates === "required",
  };
}

/** Whether the verified certificate of a connection is one of a tester for this vehicle. */
export function isTesterOf(socket: TLSSocket, vehicleId: string, now = Date.now()): boolean {
  const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined;
  // OpenSSL looks at the time in a full handshake only, and a session can be resumed.
  if (certificate === undefined || certificate.validToDate.getTime() < now) return false;
  const grant = testerGrant(certificateUris(certificate.raw));
  return grant !== undefined && (grant.vehicles?.includes(vehicleId) ?? true);
}

export interface TesterTlsSettings {
  /** The tester's own certificate. */
  identity?: TlsIdentity;
  /** PEM bundle of the roots that cars' certificates lead to. */
  carCa: string;
  /** The car that it has to be, as it announced itself. */
  vehicleId: string;
}

/** Options by which a tester connects to the TLS port of one car. */
export function testerTlsOptions(settings: TesterTlsSettings): ConnectionOptions {
  const { identity, carCa, vehicleId } = settings;
  return {
    minVersion: "TLSv1.3",
    ...(identity && { key: identity.key, cert: identity.chain }),
    ca: carCa,
    ecdhCurve: GROUPS,
    sigalgs: SIGNATURES,
    // A car has no host name: its certificate says which car it is.
    checkServerIdentity(_host, { subjectaltname = "" }) {
      if (subjectaltname.split(", ").includes(`URI:${VEHICLE_URI}${vehicleId}`)) return undefined;
      return new Error(`the certificate is not that of ${vehicleId}`);
    },
  };
}

const GROUPS = "X25519MLKEM768:SecP256r1MLKEM768:SecP384r1MLKEM1024/X25519:P-256:P-384";

const SIGNATURES = "ecdsa_secp256r1_sha256:mldsa65:mldsa87:mldsa44";

/** TLS 1.3's, and those of ISO 13400-2:2019 for TLS 1.2 that authenticate by ECDSA and encrypt by GCM. */
const CIPHERS =
  "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:" +
  "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256";
