import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readCertificate } from "#crypto/certificate-list.ts";
import {
  carCa,
  carIdentity,
  issueTesterCertificate,
  loadTesterIdentity,
  testerCa,
} from "#crypto/diagnostic-pki.ts";
import { carTlsOptions, testerTlsOptions } from "#crypto/diagnostic-tls.ts";
import { peerIdentity } from "#crypto/peer.ts";
import type { PkiError } from "#crypto/pki-error.ts";
import {
  ensureDevelopmentPki,
  issueVehicleCertificate,
  loadServerIdentities,
  loadVehicleIdentity,
  serverCa,
  vehicleCa,
} from "#crypto/pki.ts";
import { covers, testerGrant, TesterRole, testerUris } from "#crypto/tester-role.ts";
import { clientTlsOptions, serverTlsOptions, type TlsIdentity } from "#crypto/tls.ts";
import { temporaryFolder, tlsListener } from "./connection.ts";

const VIN = "VMG-001";
/** A name that would do as a vehicle's. */
const TESTER = "VMG-002";
const DAY = 86_400_000;

let folder: string;
let tester: TlsIdentity;
let vehicle: TlsIdentity;
let car: TlsIdentity;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "latticeway-"));
  await ensureDevelopmentPki(folder);
  const request = { name: TESTER, role: "write", lifetimeMs: DAY } as const;
  for (const algorithm of ["ecdsa-p256", "ml-dsa-65"] as const) {
    await issueTesterCertificate(folder, { ...request, algorithm });
  }
  await issueVehicleCertificate(folder, { vehicleId: VIN });
  tester = await loadTesterIdentity(folder, TESTER);
  vehicle = await loadVehicleIdentity(folder, VIN);
  car = await carIdentity(folder, VIN);
});

afterAll(() => rm(folder, { recursive: true }));

async function connector(settings: Partial<Parameters<typeof carTlsOptions>[0]> = {}) {
  return tlsListener(
    carTlsOptions({
      identities: [car],
      testerCa: await testerCa(folder),
      clientCertificates: "required",
      minVersion: 1.3,
      ...settings,
    }),
  );
}

async function gateway(identities: readonly TlsIdentity[]) {
  return tlsListener(
    serverTlsOptions({
      profiles: [2],
      identities,
      clientCa: await vehicleCa(folder),
      clientCertificates: "optional",
    }),
  );
}

const asTester = async (identity: TlsIdentity | undefined, vehicleId = VIN) =>
  testerTlsOptions({ carCa: await carCa(folder), vehicleId, ...(identity && { identity }) });

describe("the trees are apart", () => {
  test("a tester's certificate is no vehicle's to the gateway, whatever its name", async () => {
    const server = await gateway(await loadServerIdentities(folder));
    const ca = await serverCa(folder);
    const asVehicle = async (identity: TlsIdentity) => {
      const sockets = await server.connect(clientTlsOptions({ profile: 2, identity, ca }));
      return peerIdentity(sockets.server);
    };
    expect(await asVehicle(vehicle)).toMatchObject({ kind: "vehicle", vehicleId: VIN });
    expect(await asVehicle(tester)).toMatchObject({ kind: "refused", subject: `CN=${TESTER}` });
  });

  test("a car's certificate is no gateway's to a vehicle", async () => {
    const server = await gateway([car]);
    const options = clientTlsOptions({ profile: 2, identity: vehicle, ca: await serverCa(folder) });
    expect(await server.clientError(options)).toMatchObject({
      code: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    });
  });

  test("a vehicle's certificate is no tester's to a car", async () => {
    const server = await connector();
    const sockets = await server.connect(await asTester(tester));
    expect(sockets.server.authorized).toBe(true);
    const { socket } = await server.refused(await asTester(vehicle));
    expect(String(socket.authorizationError)).toBe("UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
  });

  test("the gateway's certificate is no car's to a tester", async () => {
    const server = await connector({ identities: await loadServerIdentities(folder) });
    expect(await server.clientError(await asTester(tester))).toMatchObject({
      code: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    });
  });
});

describe("TLS to a car", () => {
  test("tells one car from another", async () => {
    const server = await connector();
    const error = await server.clientError(await asTester(tester, "VMG-003"));
    expect(error.message).toBe("the certificate is not that of VMG-003");
    // A name that begins like it is another.
    const shorter = await server.clientError(await asTester(tester, "VMG-00"));
    expect(shorter.message).toBe("the certificate is not that of VMG-00");
  });

  test("works with ML-DSA on both sides, and takes plain groups", async () => {
    const pqCar = await carIdentity(folder, VIN, "ml-dsa-65");
    const server = await connector({ identities: [car, pqCar] });
    const pqTester = await loadTesterIdentity(folder, TESTER, "ml-dsa-65");
    const pq = await server.connect({ ...(await asTester(pqTester)), sigalgs: "mldsa65" });
    expect(pq.server.authorized).toBe(true);
    expect(pq.client.getEphemeralKeyInfo()).toMatchObject({ name: "X25519MLKEM768" });
    for (const ecdhCurve of ["X25519", "P-256"]) {
      const plain = await server.connect({ ...(await asTester(tester)), ecdhCurve });
      expect(plain.server.authorized).toBe(true);
    }
  });

  test.each(["optional", "none"] as const)(
    "with certificates %s lets in who shows none",
    async (clientCertificates) => {
      const server = await connector({ clientCertificates });
      const sockets = await server.connect(await asTester(undefined));
      expect(sockets.server.authorized).toBe(false);
      const wrong = await server.connect(await asTester(vehicle));
      expect(wrong.server.authorized).toBe(false);
    },
  );

  test("with certificates required refuses who shows none", async () => {
    const server = await connector();
    const { error } = await server.refused(await asTester(undefined));
    expect(error).toMatchObject({ code: "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE" });
  });

  test("takes TLS 1.2 where it is told to", async () => {
    const old = async () =>
      ({
        ...(await asTester(tester)),
        minVersion: "TLSv1.2",
        maxVersion: "TLSv1.2",
      }) as const;
    const { client } = await (await connector({ minVersion: 1.2 })).connect(await old());
    expect(client.getProtocol()).toBe("TLSv1.2");
    const { error } = await (await connector()).refused(await old());
    expect(error).toMatchObject({ code: "ERR_SSL_UNSUPPORTED_PROTOCOL" });
  });
});

describe("a tester's certificate", () => {
  test("says its role and its vehicles", async () => {
    const dir = await temporaryFolder();
    await ensureDevelopmentPki(dir, { algorithms: ["ecdsa-p256"] });
    const request = {
      name: "bench-1",
      role: "control",
      vehicles: ["VMG-001", "VMG-002"],
      algorithm: "ecdsa-p256",
      lifetimeMs: DAY,
    } as const;
    const { certificate, made } = await issueTesterCertificate(dir, request);
    expect(made).toBe(true);
    const summary = await readCertificate(certificate);
    expect(summary).toMatchObject({ use: "tester", subject: "CN=bench-1" });
    expect(testerGrant(summary.names)).toEqual({
      role: "control",
      vehicles: ["VMG-001", "VMG-002"],
    });
    expect(Date.parse(summary.not_after) - Date.now()).toBeLessThanOrEqual(DAY);

    const again = { ...request, role: "read" } as const;
    expect((await issueTesterCertificate(dir, again)).made).toBe(false);
    const key = await readFile(certificate.replace(/pem$/, "key"), "utf8");
    expect((await issueTesterCertificate(dir, { ...again, replace: true })).made).toBe(true);
    expect(testerGrant((await readCertificate(certificate)).names)?.role).toBe("read");
    expect(await readFile(certificate.replace(/pem$/, "key"), "utf8")).toBe(key);
  });

  test.each(["../x", "ab", "a/b"])("is not issued to %j, nor for that vehicle", async (bad) => {
    const request = { role: "read", algorithm: "ecdsa-p256", lifetimeMs: DAY } as const;
    const fails = (code: string) => expect.objectContaining({ code }) as PkiError;
    await expect(issueTesterCertificate(folder, { ...request, name: bad })).rejects.toThrow(
      fails("PKI_TESTER_NAME_INVALID"),
    );
    await expect(
      issueTesterCertificate(folder, { ...request, name: "bench-1", vehicles: [bad] }),
    ).rejects.toThrow(fails("PKI_VEHICLE_ID_INVALID"));
    await expect(carIdentity(folder, bad)).rejects.toThrow(fails("PKI_VEHICLE_ID_INVALID"));
  });

  test.each<[string, string[]]>([
    ["no role", ["urn:latticeway:vehicle:VMG-001"]],
    ["an unknown role", ["urn:latticeway:tester-role:root"]],
    ["two roles", [...testerUris("read"), ...testerUris("programming")]],
  ])("with %s grants nothing", (_, uris) => {
    expect(testerGrant(uris)).toBeUndefined();
  });
});

test("each role has those before it", () => {
  const table = TesterRole.map((role) => TesterRole.map((wanted) => Number(covers(role, wanted))));
  expect(table).toEqual([
    [1, 0, 0, 0],
    [1, 1, 0, 0],
    [1, 1, 1, 0],
    [1, 1, 1, 1],
  ]);
});
