import { KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { authorityFiles, vehicleFiles } from "#crypto/pki-layout.ts";
import { ensureDevelopmentPki, issueVehicleCertificate } from "#crypto/pki.ts";
import { TLS_PROFILES, type TlsProfile } from "#crypto/profiles.ts";
import type { BenchContext, Figure } from "./figure.ts";
import { startGateway } from "./gateway.ts";
import { cpuSeconds } from "./proc.ts";
import { CLIENTS, handshakes } from "./s-time.ts";
import { alternate, sampleOf } from "./sample.ts";
import type { Workspace } from "./workspace.ts";

/** TLS SignatureScheme names as OpenSSL spells them. */
const SIGNATURES: Record<KeyAlgorithm, string> = {
  "ecdsa-p256": "ecdsa_secp256r1_sha256",
  "ml-dsa-44": "mldsa44",
  "ml-dsa-65": "mldsa65",
  "ml-dsa-87": "mldsa87",
};

const VEHICLE = "BENCH-PROFILES";

/** Full mTLS handshakes of each TLS profile with one gateway that has all enabled. @throws PeerMissing */
export async function measureProfiles({ workspace, quick, say }: BenchContext): Promise<Figure> {
  const { certs } = workspace;
  await ensureDevelopmentPki(certs, { algorithms: KeyAlgorithm });
  for (const algorithm of KeyAlgorithm) {
    await issueVehicleCertificate(certs, { vehicleId: VEHICLE, algorithm });
  }
  const profiles = TLS_PROFILES.map(({ id }) => id);
  await using gateway = await startGateway(workspace, { profiles });
  const measure = (profile: TlsProfile) => async () => {
    const before = cpuSeconds(gateway.pid);
    const { total, elapsed } = await connect(workspace, profile, gateway.port, quick ? 1 : 2);
    const used = cpuSeconds(gateway.pid) - before;
    say(
      `  ${nameOf(profile)}: ${(total / used).toFixed(0)}/core-s, ${(total / elapsed).toFixed(0)}/s`,
    );
    return total / used;
  };
  // The first handshakes find cold code.
  for (const profile of TLS_PROFILES) await connect(workspace, profile, gateway.port, 1);
  const runs = await alternate(
    quick ? 1 : 3,
    Object.fromEntries(TLS_PROFILES.map((profile) => [nameOf(profile), measure(profile)])),
  );
  refuseOthers(gateway.log());
  return {
    title: "Handshakes by TLS profile",
    notes: [
      `One gateway with all 13 profiles enabled. Full mTLS handshakes of a client that offers the first group of one profile and the one signature algorithm of its certificates; the client's certificate and its issuer are verified up to the root; no resumption. Client: ${CLIENTS} processes of Debian's \`openssl s_time -new\` (3.5). The gateway's log confirms that each profile was negotiated.`,
      "Per second that the server's process used (all threads): with ML-DSA the client needs more time than the server, so that the clock on the wall measures the client.",
    ],
    rows: TLS_PROFILES.map((profile) => ({
      what: nameOf(profile),
      unit: "/core-s",
      ours: sampleOf(runs[nameOf(profile)] ?? []),
    })),
  };
}

function connect(workspace: Workspace, profile: TlsProfile, port: number, seconds: number) {
  const { certs } = workspace;
  const [groups = ""] = profile.groups;
  return handshakes(workspace, {
    port,
    seconds,
    vehicle: vehicleFiles(certs, VEHICLE, profile.certificate),
    issuer: authorityFiles(certs, "vehicle", profile.certificate, "issuing").certificate,
    groups,
    signatures: SIGNATURES[profile.certificate],
  });
}

function nameOf({ id, groups, certificate }: TlsProfile): string {
  return `${id}: ${groups[0]}, ${certificate}`;
}

/** @throws when the gateway refused somebody or has not seen some profile */
function refuseOthers(log: string): void {
  if (/certificate refused/i.test(log)) throw new Error("the gateway refused the client");
  const missing = TLS_PROFILES.filter(
    ({ id }) => !new RegExp(`"profile":${id},"vehicle":"${VEHICLE}"`).test(log),
  );
  if (missing.length > 0) {
    throw new Error(`not negotiated: profile ${missing.map(({ id }) => id).join(", ")}`);
  }
}
