import type { ConnectionOptions, TlsOptions } from "node:tls";
import { type GroupName } from "./groups.ts";
import { type KeyAlgorithm } from "./key-algorithm.ts";
import { findProfile, TLS_PROFILES, type TlsProfile } from "./profiles.ts";

/** A private key with its certificate chain (leaf first, without the root), both PEM. */
export interface TlsIdentity {
  algorithm: KeyAlgorithm;
  key: string;
  chain: string;
}

export type TlsSetupErrorCode =
  | "TLS_PROFILES_EMPTY"
  | "TLS_PROFILE_UNKNOWN"
  | "TLS_IDENTITY_MISSING";

/** TLS options that can't be made from what was given. */
export class TlsSetupError extends Error {
  readonly code: TlsSetupErrorCode;

  constructor(code: TlsSetupErrorCode, message: string) {
    super(message);
    this.name = "TlsSetupError";
    this.code = code;
  }
}

/**
 * What a listener does about client certificates. `optional`: every handshake completes, and the
 * caller looks at `peerIdentity(socket)` before it trusts anyone. `required`: a connection without
 * a verified certificate is cut; `handshakeRefusal` tells why.
 */
export type ClientCertificates = "optional" | "required";

export interface ServerTlsSettings {
  /** Enabled profile numbers. */
  profiles: readonly number[];
  identities: readonly TlsIdentity[];
  /** PEM bundle of the roots that vehicles' certificates lead to. */
  clientCa: string;
  clientCertificates: ClientCertificates;
}

/**
 * Options for `tls.createServer` and `https.createServer`: TLS 1.3 only, with the union of the
 * groups, signature algorithms and certificates of the enabled profiles.
 * @throws TlsSetupError
 */
export function serverTlsOptions(settings: ServerTlsSettings): TlsOptions {
  const profiles = enabled(settings.profiles);
  const algorithms = bySignaturePreference(profiles);
  const identities = algorithms.map((algorithm) => {
    const identity = settings.identities.find((candidate) => candidate.algorithm === algorithm);
    if (identity === undefined) {
      throw new TlsSetupError(
        "TLS_IDENTITY_MISSING",
        `profile ${profiles.find((profile) => profile.certificate === algorithm)?.id} needs a server certificate with an ${algorithm} key`,
      );
    }
    return identity;
  });
  return {
    minVersion: "TLSv1.3",
    maxVersion: "TLSv1.3",
    key: identities.map((identity) => identity.key),
    cert: identities.map((identity) => identity.chain),
    ca: settings.clientCa,
    ecdhCurve: groupList(profiles),
    sigalgs: algorithms.map((algorithm) => SIGNATURE_SCHEMES[algorithm]).join(":"),
    // Without it the client's order of signature algorithms decides, and a browser, which lists
    // ML-DSA before it can verify such a chain, would get the ML-DSA certificate.
    honorCipherOrder: true,
    requestCert: true,
    rejectUnauthorized: settings.clientCertificates === "required",
  };
}

export interface ClientTlsSettings {
  /** The one profile to connect with. */
  profile: number;
  /** The client's own certificate; its key must be of the profile's algorithm. */
  identity?: TlsIdentity;
  /** PEM bundle of the roots that the server's certificate leads to. */
  ca: string;
}

/**
 * Options for `tls.connect`, undici's `connect` and `tls.createSecureContext`: TLS 1.3 only, with
 * exactly what the profile allows.
 * @throws TlsSetupError
 */
export function clientTlsOptions(settings: ClientTlsSettings): ConnectionOptions {
  const [profile] = enabled([settings.profile]);
  const { identity } = settings;
  if (identity !== undefined && identity.algorithm !== profile.certificate) {
    throw new TlsSetupError(
      "TLS_IDENTITY_MISSING",
      `profile ${profile.id} needs a client certificate with an ${profile.certificate} key, not ${identity.algorithm}`,
    );
  }
  return {
    minVersion: "TLSv1.3",
    maxVersion: "TLSv1.3",
    ...(identity === undefined ? {} : { key: identity.key, cert: identity.chain }),
    ca: settings.ca,
    ecdhCurve: profile.groups.join(":"),
    sigalgs: SIGNATURE_SCHEMES[profile.certificate],
  };
}

/** TLS SignatureScheme names as OpenSSL spells them (RFC 8446 §4.2.3, draft-ietf-tls-mldsa). */
const SIGNATURE_SCHEMES: Record<KeyAlgorithm, string> = {
  "ecdsa-p256": "ecdsa_secp256r1_sha256",
  "ml-dsa-44": "mldsa44",
  "ml-dsa-65": "mldsa65",
  "ml-dsa-87": "mldsa87",
};

/**
 * The order in which a server prefers groups, whatever the order of its profiles. The classical one
 * is a tuple of its own (OpenSSL 3.5, SSL_CTX_set1_groups_list), so that a client which can do
 * better is asked to, even when the key share it sent first is classical.
 */
const GROUP_PREFERENCE: readonly (readonly GroupName[])[] = [
  [
    "X25519MLKEM768",
    "SecP256r1MLKEM768",
    "SecP384r1MLKEM1024",
    "MLKEM1024",
    "MLKEM768",
    "MLKEM512",
  ],
  ["X25519"],
];

function enabled(ids: readonly number[]): [TlsProfile, ...TlsProfile[]] {
  const [first, ...others] = ids.map((id) => {
    const profile = findProfile(id);
    if (profile === undefined) {
      throw new TlsSetupError(
        "TLS_PROFILE_UNKNOWN",
        `there is no TLS profile ${id}: they are 0 to ${TLS_PROFILES.length - 1}`,
      );
    }
    return profile;
  });
  if (first === undefined) {
    throw new TlsSetupError("TLS_PROFILES_EMPTY", "at least one TLS profile must be enabled");
  }
  return [first, ...others];
}

function groupList(profiles: readonly TlsProfile[]): string {
  const offered = new Set(profiles.flatMap((profile) => profile.groups));
  return GROUP_PREFERENCE.map((tuple) => tuple.filter((group) => offered.has(group)).join(":"))
    .filter((tuple) => tuple !== "")
    .join("/");
}

function bySignaturePreference(profiles: readonly TlsProfile[]): KeyAlgorithm[] {
  return (Object.keys(SIGNATURE_SCHEMES) as KeyAlgorithm[]).filter((algorithm) =>
    profiles.some((profile) => profile.certificate === algorithm),
  );
}
