import { type GroupName } from "./groups.ts";
import { type KeyAlgorithm } from "./key-algorithm.ts";

/** How far a profile protects against a quantum computer: key exchange, then certificates too. */
export type ProfileClass = "classical" | "pq-key-exchange" | "hybrid" | "pure-pq" | "pq";

/** One TLS profile: what a connection offers for key exchange and how its certificates are signed. */
export interface TlsProfile {
  readonly id: number;
  readonly name: string;
  /** OpenSSL group names, in order of preference. */
  readonly groups: readonly GroupName[];
  readonly certificate: KeyAlgorithm;
  readonly class: ProfileClass;
}

export const DEFAULT_PROFILE = 2;

export const TLS_PROFILES: readonly TlsProfile[] = [
  {
    id: 0,
    name: "X25519 + ECDSA-P256",
    groups: ["X25519"],
    certificate: "ecdsa-p256",
    class: "classical",
  },
  {
    id: 1,
    name: "ML-KEM-512 + ECDSA-P256",
    groups: ["MLKEM512"],
    certificate: "ecdsa-p256",
    class: "pq-key-exchange",
  },
  {
    id: DEFAULT_PROFILE,
    name: "ML-KEM-768 + ECDSA-P256",
    groups: ["X25519MLKEM768", "SecP256r1MLKEM768"],
    certificate: "ecdsa-p256",
    class: "hybrid",
  },
  {
    id: 3,
    name: "ML-KEM-1024 + ECDSA-P256",
    groups: ["SecP384r1MLKEM1024"],
    certificate: "ecdsa-p256",
    class: "hybrid",
  },
  ...mlDsaProfiles(4, "ML-KEM-512", ["MLKEM512"], "pure-pq"),
  ...mlDsaProfiles(7, "ML-KEM-768", ["X25519MLKEM768", "MLKEM768"], "pq"),
  ...mlDsaProfiles(10, "ML-KEM-1024", ["SecP384r1MLKEM1024", "MLKEM1024"], "pq"),
];

const byId = new Map(TLS_PROFILES.map((profile) => [profile.id, profile]));

/** @returns undefined for a number that no profile has. */
export function findProfile(id: number): TlsProfile | undefined {
  return byId.get(id);
}

/**
 * The profile that a connection amounts to, by its negotiated group and the key of the certificate
 * that authenticated it; undefined for a combination that none of the 13 describes.
 */
export function profileOf(connection: {
  group: string;
  peerKeyType: string | undefined;
}): TlsProfile | undefined {
  return TLS_PROFILES.find(
    (profile) =>
      profile.certificate === connection.peerKeyType &&
      (profile.groups as readonly string[]).includes(connection.group),
  );
}

/**
 * Whether a connection that amounts to this profile is as strong as a minimum profile demands. The
 * order of strength is that of the numbers: the class first (classical, PQ key exchange, hybrid,
 * pure PQ, PQ), within a class the key exchange, then the certificate. What amounts to none of the
 * profiles is weaker than all.
 */
export function meetsProfile(profile: TlsProfile | undefined, minimum: number): boolean {
  return profile !== undefined && profile.id >= minimum;
}

/** Three profiles with one key exchange and the three parameter sets of ML-DSA. */
function mlDsaProfiles(
  firstId: number,
  kem: string,
  groups: readonly GroupName[],
  profileClass: ProfileClass,
): TlsProfile[] {
  return ([44, 65, 87] as const).map((set, index) => ({
    id: firstId + index,
    name: `${kem} + ML-DSA-${set}`,
    groups,
    certificate: `ml-dsa-${set}`,
    class: profileClass,
  }));
}
