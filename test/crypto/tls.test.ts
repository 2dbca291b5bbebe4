import { once } from "node:events";
import type { ConnectionOptions } from "node:tls";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { negotiated } from "#crypto/negotiated.ts";
import { handshakeRefusal, peerIdentity } from "#crypto/peer.ts";
import {
  ensureDevelopmentPki,
  issueVehicleCertificate,
  loadServerIdentities,
  loadVehicleIdentity,
  serverCa,
  vehicleCa,
} from "#crypto/pki.ts";
import { findProfile, TLS_PROFILES } from "#crypto/profiles.ts";
import {
  clientTlsOptions,
  serverTlsOptions,
  TlsSetupError,
  type ClientCertificates,
  type TlsIdentity,
} from "#crypto/tls.ts";
import { tlsListener } from "./connection.ts";

const VEHICLE = "VMG-001";
const DAY = 86_400_000;

let folder: string;
let foreign: string;
let identities: TlsIdentity[];
let ca: { server: string; vehicle: string };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "latticeway-"));
  foreign = await mkdtemp(join(tmpdir(), "latticeway-"));
  await ensureDevelopmentPki(folder, { algorithms: KeyAlgorithm });
  for (const algorithm of KeyAlgorithm) {
    await issueVehicleCertificate(folder, { vehicleId: VEHICLE, algorithm });
  }
  await ensureDevelopmentPki(foreign, { algorithms: ["ecdsa-p256"] });
  await issueVehicleCertificate(foreign, { vehicleId: VEHICLE });
  identities = await loadServerIdentities(folder);
  ca = { server: await serverCa(folder), vehicle: await vehicleCa(folder) };
});

afterAll(async () => {
  await rm(folder, { recursive: true });
  await rm(foreign, { recursive: true });
});

function listener(profiles: number[], clientCertificates: ClientCertificates = "required") {
  return tlsListener(
    serverTlsOptions({ profiles, identities, clientCa: ca.vehicle, clientCertificates }),
  );
}

async function vehicle(profile = 2): Promise<ConnectionOptions> {
  const algorithm = findProfile(profile)?.certificate;
  const identity = await loadVehicleIdentity(folder, VEHICLE, algorithm);
  return clientTlsOptions({ profile, identity, ca: ca.server });
}

const anonymous = (profile = 2) => clientTlsOptions({ profile, ca: ca.server });

function withIdentity(identity: TlsIdentity): ConnectionOptions {
  return clientTlsOptions({ profile: 2, identity, ca: ca.server });
}

describe("profiles on the wire", () => {
  test.each(TLS_PROFILES)("$id $name connects with each of its groups", async (profile) => {
    const server = await listener([profile.id]);
    for (const group of profile.groups) {
      const options = { ...(await vehicle(profile.id)), ecdhCurve: group };
      const sockets = await server.connect(options);
      for (const socket of [sockets.server, sockets.client]) {
        expect(negotiated(socket)).toMatchObject({
          protocol: "TLSv1.3",
          group,
          peerKeyType: profile.certificate,
          profile,
          resumed: false,
        });
      }
      expect(sockets.client.authorized).toBe(true);
      expect(peerIdentity(sockets.server)).toEqual({
        kind: "vehicle",
        vehicleId: VEHICLE,
        fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      });
    }
  });

  test("one server answers every profile with the certificate that fits", async () => {
    const server = await listener(TLS_PROFILES.map(({ id }) => id));
    for (const { id } of TLS_PROFILES) {
      const sockets = await server.connect(await vehicle(id));
      expect(negotiated(sockets.client).profile?.id).toBe(id);
      expect(negotiated(sockets.server).profile?.id).toBe(id);
    }
  });

  test("a client without a certificate counts by the server's", async () => {
    const server = await listener([2, 8], "optional");
    for (const id of [2, 8]) {
      const sockets = await server.connect(anonymous(id));
      expect(negotiated(sockets.server)).toMatchObject({
        peerKeyType: undefined,
        profile: findProfile(id),
      });
      expect(peerIdentity(sockets.server)).toEqual({ kind: "anonymous" });
    }
  });

  test("a browser that lists ML-DSA first still gets the ECDSA certificate", async () => {
    const server = await listener([2, 8], "optional");
    const sockets = await server.connect({
      ...anonymous(),
      sigalgs: "mldsa65:ecdsa_secp256r1_sha256",
    });
    expect(negotiated(sockets.client).peerKeyType).toBe("ecdsa-p256");
  });

  test.each(["X25519MLKEM768:X25519", "X25519:X25519MLKEM768"])(
    "enabling the classical baseline does not weaken a client that offers %s",
    async (ecdhCurve) => {
      const server = await listener([0, 2]);
      const sockets = await server.connect({ ...(await vehicle()), ecdhCurve });
      expect(negotiated(sockets.server).group).toBe("X25519MLKEM768");
    },
  );

  test("a resumed session keeps its group, peer and profile", async () => {
    const server = await listener([2]);
    const first = await server.connect(await vehicle());
    const [session] = (await once(first.client, "session")) as [Buffer];
    const second = await server.connect({ ...(await vehicle()), session });
    expect(second.client.isSessionReused()).toBe(true);
    expect(negotiated(second.server)).toMatchObject({
      group: "X25519MLKEM768",
      peerKeyType: "ecdsa-p256",
      profile: findProfile(2),
      resumed: true,
    });
    expect(peerIdentity(second.server)).toEqual(peerIdentity(first.server));
  });

  test("a resumed session proves nothing any more once its certificate has expired", async () => {
    const server = await listener([2]);
    const first = await server.connect(await vehicle());
    const [session] = (await once(first.client, "session")) as [Buffer];
    const second = await server.connect({ ...(await vehicle()), session });
    const ends = first.server.getPeerX509Certificate()?.validToDate.getTime() ?? 0;
    const at = (now: number) => peerIdentity(second.server, undefined, now);
    expect(at(ends)).toMatchObject({ kind: "vehicle", vehicleId: "VMG-001" });
    expect(at(ends + 1)).toMatchObject({
      kind: "refused",
      code: "CERT_HAS_EXPIRED",
      subject: "CN=VMG-001",
    });
  });
});

describe("handshakes that fail", () => {
  const refusalOf = async (options: ConnectionOptions, profiles = [2]) => {
    const { error, socket } = await (await listener(profiles)).refused(options);
    return handshakeRefusal(error, socket);
  };

  test("TLS 1.2", async () => {
    expect(
      await refusalOf({ ca: ca.server, minVersion: "TLSv1.2", maxVersion: "TLSv1.2" }),
    ).toEqual({
      code: "ERR_SSL_UNSUPPORTED_PROTOCOL",
      reason: "the client does not speak TLS 1.3",
    });
  });

  test("a classical group only", async () => {
    const { code, reason } = await refusalOf({ ...(await vehicle()), ecdhCurve: "X25519:P-256" });
    expect(code).toBe("ERR_SSL_NO_SUITABLE_KEY_SHARE");
    expect(reason).toMatch(/no key exchange group in common/);
  });

  test("a signature algorithm of a profile that is not enabled", async () => {
    const { code, reason } = await refusalOf(await vehicle(8));
    expect(code).toBe("ERR_SSL_NO_SHARED_SIGNATURE_ALGORITHMS");
    expect(reason).toMatch(/no certificate signature algorithm in common/);
  });

  test("no certificate where one is required", async () => {
    expect(await refusalOf(anonymous())).toEqual({
      code: "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE",
      reason: "the client showed no certificate",
    });
  });

  test("plain HTTP on the TLS port", async () => {
    const server = await listener([2]);
    const { error, socket } = await server.refusedPlain("GET / HTTP/1.1\r\n\r\n");
    expect(handshakeRefusal(error, socket).reason).toBe("plain HTTP on a TLS port");
  });
});

/** Certificates that must open nothing, and the code each is refused with. */
const badCertificates: Record<string, { code: string; make: () => Promise<TlsIdentity> }> = {
  "of a foreign authority": {
    code: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    make: () => loadVehicleIdentity(foreign, VEHICLE),
  },
  "that has expired": {
    code: "CERT_HAS_EXPIRED",
    make: async () => {
      const period = {
        notBefore: new Date(Date.now() - 9 * DAY),
        notAfter: new Date(Date.now() - DAY),
      };
      await issueVehicleCertificate(folder, { vehicleId: "VMG-expired", ...period });
      return loadVehicleIdentity(folder, "VMG-expired");
    },
  },
  "that is not valid yet": {
    code: "CERT_NOT_YET_VALID",
    make: async () => {
      const notBefore = new Date(Date.now() + DAY);
      await issueVehicleCertificate(folder, { vehicleId: "VMG-early", notBefore });
      return loadVehicleIdentity(folder, "VMG-early");
    },
  },
  "of a server": {
    code: "INVALID_PURPOSE",
    make: () => Promise.resolve(serverIdentity()),
  },
};

function serverIdentity(): TlsIdentity {
  const identity = identities.find(({ algorithm }) => algorithm === "ecdsa-p256");
  if (identity === undefined) throw new Error("no ECDSA server identity");
  return identity;
}

describe.each(Object.entries(badCertificates))("a client certificate %s", (_name, bad) => {
  test("is cut off where one is required, with the reason", async () => {
    const server = await listener([2], "required");
    const { error, socket } = await server.refused(withIdentity(await bad.make()));
    const refusal = handshakeRefusal(error, socket);
    expect(refusal.code).toBe(bad.code);
    expect(refusal.reason).not.toMatch(/does not verify/);
  });

  test("proves nothing where it is optional, with the reason", async () => {
    const server = await listener([2], "optional");
    const sockets = await server.connect(withIdentity(await bad.make()));
    expect(peerIdentity(sockets.server)).toMatchObject({
      kind: "refused",
      code: bad.code,
      subject: expect.stringMatching(/^CN=/) as string,
    });
  });
});

describe("servers that a vehicle must not trust", () => {
  const clientError = async (identity: TlsIdentity): Promise<Error & { code?: string }> => {
    const options = serverTlsOptions({
      profiles: [2],
      identities: [identity],
      clientCa: ca.vehicle,
      clientCertificates: "optional",
    });
    const server = await tlsListener(options);
    return server.clientError(anonymous());
  };

  test("one that shows a vehicle's certificate", async () => {
    const error = await clientError(await loadVehicleIdentity(folder, VEHICLE));
    expect(error.code).toBe("INVALID_PURPOSE");
  });

  test("one that shows a vehicle's certificate to a client that trusts both authorities", async () => {
    const options = serverTlsOptions({
      profiles: [2],
      identities: [await loadVehicleIdentity(folder, VEHICLE)],
      clientCa: ca.vehicle,
      clientCertificates: "optional",
    });
    const server = await tlsListener(options);
    const error = await server.clientError({ ...anonymous(), ca: ca.server + ca.vehicle });
    expect(error.code).toBe("INVALID_PURPOSE");
  });

  test("one that speaks no TLS 1.3", async () => {
    const [identity] = identities;
    const { key, chain: cert } = identity ?? { key: "", chain: "" };
    const server = await tlsListener({ key, cert, maxVersion: "TLSv1.2" });
    // The profile whose group TLS 1.2 has as well.
    await expect(server.connect(anonymous(0))).rejects.toMatchObject({
      code: "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION",
    });
  });

  test("a server of another authority", async () => {
    const [identity] = await loadServerIdentities(foreign);
    if (identity === undefined) throw new Error("no foreign identity");
    expect((await clientError(identity)).code).toBe("UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
  });
});

describe("options that can't be made", () => {
  const settings = () =>
    ({ identities, clientCa: ca.vehicle, clientCertificates: "optional" }) as const;
  const codeOf = (make: () => unknown): string => {
    try {
      make();
    } catch (error) {
      if (error instanceof TlsSetupError) return error.code;
      throw error;
    }
    return "made";
  };

  test("name their reason", async () => {
    const ecdsa = await loadVehicleIdentity(folder, VEHICLE);
    expect(codeOf(() => serverTlsOptions({ ...settings(), profiles: [] }))).toBe(
      "TLS_PROFILES_EMPTY",
    );
    expect(codeOf(() => serverTlsOptions({ ...settings(), profiles: [13] }))).toBe(
      "TLS_PROFILE_UNKNOWN",
    );
    expect(codeOf(() => serverTlsOptions({ ...settings(), profiles: [2], identities: [] }))).toBe(
      "TLS_IDENTITY_MISSING",
    );
    expect(codeOf(() => clientTlsOptions({ profile: 8, identity: ecdsa, ca: "" }))).toBe(
      "TLS_IDENTITY_MISSING",
    );
  });
});
