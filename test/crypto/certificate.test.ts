// Has to come first: the certificate library reads it while it loads.
import "reflect-metadata";
import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { BasicConstraintsExtension, X509Certificate as Parsed } from "@peculiar/x509";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { folderIssuer } from "#crypto/certificate-issuer.ts";
import { issueCertificate, keyIdentifier, type Issuer } from "#crypto/certificate.ts";
import { generateKeys } from "#crypto/key-algorithm.ts";
import { peerIdentity } from "#crypto/peer.ts";
import { authorityFiles } from "#crypto/pki-layout.ts";
import { ensureDevelopmentPki, loadServerIdentities, serverCa, vehicleCa } from "#crypto/pki.ts";
import { privateKeyPem } from "#crypto/private-key.ts";
import { clientTlsOptions, serverTlsOptions } from "#crypto/tls.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { tlsListener } from "./connection.ts";

const DAY = 86_400_000;
const algorithm = "ecdsa-p256";
const { path: folder, remove } = temporaryFolder();
const issuer = folderIssuer(folder);
const vehicle = generateKeys(algorithm);
const period = { notBefore: new Date(Date.now() - DAY), notAfter: new Date(Date.now() + DAY) };

/** The vehicle's certificate with its chain, and the authority that issued it. */
let chain: string;
let authority: string;

beforeAll(async () => {
  await ensureDevelopmentPki(folder, { algorithms: [algorithm] });
  authority = await readFile(
    authorityFiles(folder, "vehicle", algorithm, "issuing").certificate,
    "utf8",
  );
  const order = { vehicleId: "VMG-001", publicKey: vehicle.publicKey, lifetimeMs: DAY };
  chain = await issuer.issue(order);
});
afterAll(() => remove());

/** A certificate of the vehicle VMG-002, by whomever. */
async function certified(by: Issuer) {
  const { publicKey, privateKey } = generateKeys(algorithm);
  const certificate = await issueCertificate({
    tree: "vehicle",
    level: "leaf",
    commonName: "VMG-002",
    publicKey,
    issuer: by,
    ...period,
  });
  return { certificate, key: privateKeyPem(privateKey) };
}

describe("a vehicle's certificate", () => {
  test("is no authority, and the one that issued it makes none", () => {
    const constraints = (pem: string) => new Parsed(pem).getExtension(BasicConstraintsExtension);
    expect(constraints(chain)).toMatchObject({ ca: false, critical: true });
    expect(constraints(authority)).toMatchObject({ ca: true, pathLength: 0, critical: true });
  });

  test("certifies nobody else", async () => {
    const { certificate, key } = await certified({ certificate: chain, ...vehicle });
    const server = await tlsListener(
      serverTlsOptions({
        profiles: [2],
        identities: await loadServerIdentities(folder),
        clientCa: await vehicleCa(folder),
        clientCertificates: "optional",
      }),
    );
    const identity = { algorithm, key, chain: certificate + chain } as const;
    const ca = await serverCa(folder);
    const sockets = await server.connect(clientTlsOptions({ profile: 2, identity, ca }));
    expect(peerIdentity(sockets.server)).toMatchObject({ kind: "refused" });
  });

  test("ends with its authority's at the latest", async () => {
    const order = { vehicleId: "VMG-001", publicKey: vehicle.publicKey, lifetimeMs: 36_500 * DAY };
    const { validToDate } = new X509Certificate(await issuer.issue(order));
    expect(validToDate).toEqual(new X509Certificate(authority).validToDate);
  });

  test("is of the authority that has signed it, not of the one that it names", async () => {
    const { publicKey } = new X509Certificate(authority);
    const authorityOf = (pem: string) => issuer.authorityOf(new X509Certificate(pem));
    expect(await authorityOf(chain)).toBe(keyIdentifier(publicKey));
    const { privateKey } = generateKeys(algorithm);
    const forged = await certified({ certificate: authority, privateKey });
    expect(await authorityOf(forged.certificate)).toBeUndefined();
    expect(new X509Certificate(forged.certificate).issuer).toBe(new X509Certificate(chain).issuer);
  });
});
