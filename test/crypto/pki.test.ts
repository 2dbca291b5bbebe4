import { execFile } from "node:child_process";
import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { chmod, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { listCertificates } from "#crypto/certificate-list.ts";
import { issueCertificate } from "#crypto/certificate.ts";
import { isVehicleId } from "#crypto/identity.ts";
import { generateKeys, KeyAlgorithm } from "#crypto/key-algorithm.ts";
import type { PkiError } from "#crypto/pki-error.ts";
import { authorityFiles, serverFiles, vehicleFiles } from "#crypto/pki-layout.ts";
import {
  demandPki,
  ensureDevelopmentPki,
  issueVehicleCertificate,
  loadServerIdentities,
  loadVehicleIdentity,
  serverCa,
  vehicleCa,
} from "#crypto/pki.ts";
import { requirePeer } from "#test/helpers/optional.ts";
import { temporaryFolder } from "./connection.ts";

const run = promisify(execFile);
const DAY = 86_400_000;

/** Every file below a folder with its content, to see that nothing changed. */
async function contents(folder: string): Promise<Map<string, string>> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile()).map((e) => join(e.parentPath, e.name));
  return new Map(
    await Promise.all(
      files
        .sort()
        .map(async (file): Promise<[string, string]> => [file, await readFile(file, "utf8")]),
    ),
  );
}

async function mode(file: string): Promise<number> {
  return (await stat(file)).mode & 0o777;
}

const failsWith = (code: string) => expect.objectContaining({ code }) as PkiError;

describe("the development PKI", () => {
  test("is made once and then left alone", async () => {
    const folder = join(await temporaryFolder(), "certs");
    const first = await ensureDevelopmentPki(folder);
    expect(first.made).toHaveLength(18);
    expect(first.problems).toEqual([]);
    const before = await contents(folder);
    expect(await ensureDevelopmentPki(folder)).toEqual({ made: [], problems: [] });
    expect(await contents(folder)).toEqual(before);
  });

  test("keeps keys to their owner", async () => {
    const folder = join(await temporaryFolder(), "certs");
    const before = process.umask(0);
    try {
      await ensureDevelopmentPki(folder);
    } finally {
      process.umask(before);
    }
    expect(await mode(folder)).toBe(0o700);
    const files = [...(await contents(folder)).keys()];
    expect(files.filter((file) => file.endsWith(".key"))).toHaveLength(18);
    for (const file of files) {
      expect([file, await mode(file)]).toEqual([file, file.endsWith(".key") ? 0o600 : 0o644]);
    }
  });

  test("makes what is missing, and only that", async () => {
    const folder = await temporaryFolder();
    await ensureDevelopmentPki(folder);
    const { certificate, key } = serverFiles(folder, "ml-dsa-65");
    const before = await contents(folder);
    await rm(certificate);
    expect((await ensureDevelopmentPki(folder)).made).toEqual([certificate]);
    const after = await contents(folder);
    expect(after.get(key)).toBe(before.get(key));
    after.set(certificate, before.get(certificate) ?? "");
    expect(after).toEqual(before);
    expect(await loadServerIdentities(folder)).toHaveLength(2);
  });

  test("adds the algorithms that are asked for later", async () => {
    const folder = await temporaryFolder();
    await ensureDevelopmentPki(folder, { algorithms: ["ecdsa-p256"] });
    expect((await loadServerIdentities(folder)).map((i) => i.algorithm)).toEqual(["ecdsa-p256"]);
    const { made } = await ensureDevelopmentPki(folder, { algorithms: KeyAlgorithm });
    expect(made).toHaveLength(27);
    expect((await loadServerIdentities(folder)).map((i) => i.algorithm)).toEqual([...KeyAlgorithm]);
    expect((await serverCa(folder)).match(/BEGIN CERTIFICATE/g)).toHaveLength(4);
    expect((await vehicleCa(folder)).match(/BEGIN CERTIFICATE/g)).toHaveLength(4);
  });

  test("says what is wrong with a certificate that it leaves", async () => {
    const folder = await temporaryFolder();
    const early = new Date(Date.now() - 1000 * DAY);
    await ensureDevelopmentPki(folder, { now: early, algorithms: ["ecdsa-p256"] });
    const { problems } = await ensureDevelopmentPki(folder, {
      hostNames: ["gw.example", "10.1.2.3", "fe80::1"],
      algorithms: ["ecdsa-p256"],
    });
    const { certificate } = serverFiles(folder, "ecdsa-p256");
    expect(problems.map((problem) => problem.split(":")[0])).toEqual([
      `${certificate} is not for gw.example`,
      `${certificate} is not for 10.1.2.3`,
      `${certificate} is not for fe80`,
      expect.stringMatching(/ expired on /) as string,
    ]);
  });

  test.each(["", "bad name", "-x", "x,DNS:evil", "a".repeat(254)])(
    "refuses the host name %j",
    async (name) => {
      const folder = await temporaryFolder();
      await expect(ensureDevelopmentPki(folder, { hostNames: [name] })).rejects.toThrow(
        failsWith("PKI_HOST_NAME_INVALID"),
      );
      expect(await contents(folder)).toEqual(new Map());
    },
  );

  test("comes out whole when several processes start at once, and prints no warning", async () => {
    const folder = join(await temporaryFolder(), "certs");
    const script = `
      import { ensureDevelopmentPki, issueVehicleCertificate } from "#crypto/pki.ts";
      await ensureDevelopmentPki(process.argv[1]);
      await issueVehicleCertificate(process.argv[1], { vehicleId: "VMG-001", algorithm: "ml-dsa-65" });`;
    const started = Array.from({ length: 4 }, () =>
      run(process.execPath, ["--input-type=module-typescript", "--eval", script, folder]),
    );
    for (const { stderr } of await Promise.all(started)) expect(stderr).toBe("");
    expect(await loadServerIdentities(folder)).toHaveLength(2);
    await loadVehicleIdentity(folder, "VMG-001", "ml-dsa-65");
    await expectValidChains(folder);
    const files = [...(await contents(folder)).keys()];
    expect(files).toHaveLength(38);
  });

  test("comes out whole when one process asks many times at once", async () => {
    const folder = await temporaryFolder();
    const results = await Promise.all(
      Array.from({ length: 8 }, () => ensureDevelopmentPki(folder)),
    );
    expect(results.flatMap(({ made }) => made)).toHaveLength(18);
    await expectValidChains(folder);
  });
});

/** Each certificate of the folder is signed by the one above it in its tree. */
async function expectValidChains(folder: string): Promise<void> {
  const read = async (file: string) => new X509Certificate(await readFile(file));
  for (const tree of ["server", "vehicle"] as const) {
    for (const algorithm of ["ecdsa-p256", "ml-dsa-65"] as const) {
      const [root, issuing] = await Promise.all(
        (["root", "issuing"] as const).map((level) =>
          read(authorityFiles(folder, tree, algorithm, level).certificate),
        ),
      );
      if (root === undefined || issuing === undefined) throw new Error("unreachable");
      expect(root.verify(root.publicKey)).toBe(true);
      expect(issuing.verify(root.publicKey)).toBe(true);
      const leaf = tree === "server" ? serverFiles(folder, algorithm) : undefined;
      const signed = leaf === undefined ? [] : [await read(leaf.certificate)];
      expect(signed.every((one) => one.verify(issuing.publicKey))).toBe(true);
    }
  }
}

describe("a PKI that must be there", () => {
  test("is demanded by the names of its files and with what to do, and nothing is made", async () => {
    const folder = await temporaryFolder();
    const refused = demandPki(folder, ["ecdsa-p256", "ml-dsa-65"]);
    await expect(refused).rejects.toMatchObject({ code: "PKI_MISSING" });
    const named = ["ecdsa-p256", "ml-dsa-65"].flatMap((algorithm) => [
      `servers/gateway.${algorithm}.pem`,
      `servers/gateway.${algorithm}.key`,
    ]);
    for (const name of [...named, "vehicle-ca/ecdsa-p256/root.pem"]) {
      await expect(refused).rejects.toThrow(join(folder, name));
    }
    await expect(refused).rejects.toThrow(`npm run certs -- --dir ${folder}`);
    expect(await readdir(folder)).toEqual([]);
  });

  test("is leaf certificates, their keys and a root, of whatever algorithm; no authority", async () => {
    const folder = await temporaryFolder();
    await ensureDevelopmentPki(folder, { algorithms: ["ecdsa-p256", "ml-dsa-65"] });
    for (const tree of ["server", "vehicle"] as const) {
      await rm(authorityFiles(folder, tree, "ecdsa-p256", "issuing").key);
      await rm(authorityFiles(folder, tree, "ecdsa-p256", "root").key);
    }
    await rm(authorityFiles(folder, "vehicle", "ecdsa-p256", "root").certificate);
    expect(await demandPki(folder, ["ecdsa-p256"])).toEqual([]);
    const { certificate, key } = serverFiles(folder, "ecdsa-p256");
    const later = new Date(Date.now() + 900 * DAY);
    expect(await demandPki(folder, ["ecdsa-p256"], later)).toEqual([
      expect.stringContaining(`${certificate} expired on `),
    ]);
    await rm(key);
    await expect(demandPki(folder, ["ecdsa-p256"])).rejects.toThrow(`missing: ${key};`);
  });
});

describe("a vehicle's certificate", () => {
  test.each(KeyAlgorithm)("%s carries its id, its purpose and its period", async (algorithm) => {
    const folder = await temporaryFolder();
    await ensureDevelopmentPki(folder, { algorithms: [algorithm] });
    const notBefore = new Date("2026-01-02T03:04:05Z");
    const notAfter = new Date("2051-02-03T04:05:06Z");
    const request = { vehicleId: "WVWZZZ1JZXW000001", algorithm, notBefore, notAfter };
    const { certificate, made } = await issueVehicleCertificate(folder, request);
    expect(made).toBe(true);
    const parsed = new X509Certificate(await readFile(certificate));
    expect(parsed.subject).toBe("CN=WVWZZZ1JZXW000001");
    expect(parsed.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
    expect(parsed.ca).toBe(false);
    expect(parsed.validFromDate).toEqual(notBefore);
    expect(parsed.validToDate).toEqual(notAfter);
    const identity = await loadVehicleIdentity(folder, request.vehicleId, algorithm);
    expect(identity.algorithm).toBe(algorithm);
    expect(identity.chain.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(parsed.checkPrivateKey(createPrivateKey(identity.key))).toBe(true);
  });

  test("is left as it is when it is there", async () => {
    const folder = await temporaryFolder();
    await ensureDevelopmentPki(folder);
    const first = await issueVehicleCertificate(folder, { vehicleId: "VMG-001" });
    const before = await contents(folder);
    expect(await issueVehicleCertificate(folder, { vehicleId: "VMG-001" })).toEqual({
      ...first,
      made: false,
    });
    expect(await contents(folder)).toEqual(before);
  });

  test.each(["", "ab", "a/b", "../x", "...", "x".repeat(65), "VMG 1", "VMG-1\n", "ü-1"])(
    "is not made for %j",
    async (vehicleId) => {
      expect(isVehicleId(vehicleId)).toBe(false);
      const folder = await temporaryFolder();
      await expect(issueVehicleCertificate(folder, { vehicleId })).rejects.toThrow(
        failsWith("PKI_VEHICLE_ID_INVALID"),
      );
      await expect(loadVehicleIdentity(folder, vehicleId)).rejects.toThrow(
        failsWith("PKI_VEHICLE_ID_INVALID"),
      );
    },
  );

  test("that is missing, without key, with another's key or unreadable says so", async () => {
    const folder = await temporaryFolder();
    const load = (id = "VMG-001") => loadVehicleIdentity(folder, id);
    await expect(serverCa(folder)).rejects.toThrow(failsWith("PKI_CERTIFICATE_MISSING"));
    await expect(issueVehicleCertificate(folder, { vehicleId: "VMG-001" })).rejects.toThrow(
      failsWith("PKI_CERTIFICATE_MISSING"),
    );
    await ensureDevelopmentPki(folder);
    await expect(load()).rejects.toThrow(failsWith("PKI_CERTIFICATE_MISSING"));
    await issueVehicleCertificate(folder, { vehicleId: "VMG-001" });
    await issueVehicleCertificate(folder, { vehicleId: "VMG-002" });
    const { certificate, key } = vehicleFiles(folder, "VMG-001", "ecdsa-p256");
    const other = vehicleFiles(folder, "VMG-002", "ecdsa-p256");
    await writeFile(key, await readFile(other.key));
    await expect(load()).rejects.toThrow(failsWith("PKI_KEY_MISMATCH"));
    await writeFile(key, "no key");
    await expect(load()).rejects.toThrow(failsWith("PKI_KEY_UNREADABLE"));
    await rm(key);
    await expect(load()).rejects.toThrow(failsWith("PKI_KEY_MISSING"));
    await writeFile(key, await readFile(other.key));
    await writeFile(certificate, "no certificate");
    await expect(load()).rejects.toThrow(failsWith("PKI_CERTIFICATE_UNREADABLE"));
  });

  test("is not issued with a key of another kind that lies in its place", async () => {
    const folder = await temporaryFolder();
    await ensureDevelopmentPki(folder);
    await issueVehicleCertificate(folder, { vehicleId: "VMG-001", algorithm: "ml-dsa-65" });
    const { key } = vehicleFiles(folder, "VMG-002", "ecdsa-p256");
    await writeFile(key, await readFile(vehicleFiles(folder, "VMG-001", "ml-dsa-65").key));
    await chmod(key, 0o600);
    await expect(issueVehicleCertificate(folder, { vehicleId: "VMG-002" })).rejects.toThrow(
      failsWith("PKI_KEY_MISMATCH"),
    );
  });
});

test("certificates are not signed with keys this product does not use", async () => {
  const { publicKey } = generateKeys("ecdsa-p256");
  const { privateKey } = generateKeyPairSync("ed25519");
  const request = {
    tree: "vehicle",
    level: "root",
    commonName: "x",
    publicKey,
    issuer: { certificate: undefined, privateKey },
    notBefore: new Date(),
    notAfter: new Date(),
  } as const;
  await expect(issueCertificate(request)).rejects.toThrow(TypeError);
});

test("the list shows every certificate with its use, names and period", async () => {
  const folder = await temporaryFolder();
  expect(await listCertificates(folder)).toEqual([]);
  await ensureDevelopmentPki(folder, { hostNames: ["gw.example"], algorithms: ["ml-dsa-65"] });
  await issueVehicleCertificate(folder, { vehicleId: "VMG-001", algorithm: "ml-dsa-65" });
  const list = await listCertificates(folder);
  expect(list.map(({ use, algorithm }) => [use, algorithm])).toEqual([
    ...Array.from({ length: 8 }, () => ["authority", "ml-dsa-65"]),
    ["server", "ml-dsa-65"],
    ["vehicle", "ml-dsa-65"],
  ]);
  expect(list[8]?.names).toEqual(["localhost", "127.0.0.1", "0:0:0:0:0:0:0:1", "gw.example"]);
  expect(list[9]).toMatchObject({
    file: vehicleFiles(folder, "VMG-001", "ml-dsa-65").certificate,
    subject: "CN=VMG-001",
    issuer: "CN=Latticeway development vehicle issuing CA (ml-dsa-65)",
    fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
  });
});

describe("openssl verifies what was issued", () => {
  test.for(["ecdsa-p256", "ml-dsa-65"] as const)("with %s", async (algorithm, context) => {
    requirePeer(context, algorithm === "ml-dsa-65" ? "openssl-3.5" : "openssl");
    const folder = await temporaryFolder();
    await ensureDevelopmentPki(folder, { algorithms: [algorithm] });
    const vehicle = await issueVehicleCertificate(folder, { vehicleId: "VMG-001", algorithm });
    const server = serverFiles(folder, algorithm);
    const verify = async (tree: "server" | "vehicle", certificate: string) => {
      const files = (level: "root" | "issuing") =>
        authorityFiles(folder, tree, algorithm, level).certificate;
      const purpose = tree === "server" ? "sslserver" : "sslclient";
      const chain = ["-CAfile", files("root"), "-untrusted", files("issuing")];
      const args = ["verify", "-x509_strict", "-purpose", purpose, ...chain, certificate];
      const { stdout } = await run("openssl", args);
      return stdout;
    };
    expect(await verify("vehicle", vehicle.certificate)).toMatch(/: OK\n$/);
    expect(await verify("server", server.certificate)).toMatch(/: OK\n$/);
    await expect(verify("server", vehicle.certificate)).rejects.toThrow(/verification failed/);
    await expect(verify("vehicle", server.certificate)).rejects.toThrow(/verification failed/);
  });
});
