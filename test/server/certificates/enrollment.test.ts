import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { IClientOptions } from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MAX_CSR_LENGTH } from "#crypto/certificate-request.ts";
import { generateKeys } from "#crypto/key-algorithm.ts";
import { ensureDevelopmentPki, issueVehicleCertificate, loadVehicleIdentity } from "#crypto/pki.ts";
import { privateKeyPem } from "#crypto/private-key.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { requirePeer } from "#test/helpers/optional.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { tlsAs } from "#test/server/raw-client.ts";
import { orderFor } from "./identity.ts";

const HOUR = 3_600_000;
let gateway: TestGateway;
let nobody: Caller;
beforeAll(async () => {
  gateway = await startGateway({ tls: { profiles: [2, 8] } });
  nobody = gateway.operator("");
});
afterAll(() => gateway.close());

const path = "/api/v1/certificates";
const newToken = (body: object, caller = gateway.admin) =>
  caller.send("POST", `${path}/enrollment-tokens`, { body });
const enroll = (body: object, caller = nobody) => caller.send("POST", `${path}/enroll`, { body });
const renew = (body: object, caller: Caller) => caller.send("POST", `${path}/renew`, { body });

async function tokenFor(vin: string): Promise<string> {
  return (await newToken({ vin })).json.token as string;
}

async function records(vin: string): Promise<Record<string, unknown>[]> {
  return (await gateway.admin.send("GET", `${path}?vin=${vin}`)).json.items;
}

describe("an enrolment token", () => {
  it("is made by an admin alone, and shown once", async () => {
    const made = await newToken({ vin: "ENR-001" });
    expect(made.status).toBe(201);
    expect(made.json).toMatchObject({ vin: "ENR-001", token: expect.stringMatching(/^lwe_/) });
    const hours = (Date.parse(made.json.expires_at as string) - Date.now()) / HOUR;
    expect(Math.round(hours)).toBe(24);
    for (const role of ["viewer", "diagnostician", "release_manager"]) {
      const { json } = await gateway.admin.send("POST", "/api/v1/operators/tokens", {
        body: { name: role, role },
      });
      const other = gateway.operator(json.token as string);
      expect(problemOf(await newToken({ vin: "ENR-001" }, other))).toBe("ROLE_REQUIRED");
    }
    expect(problemOf(await newToken({ vin: "ENR-001" }, nobody))).toBe("TOKEN_REQUIRED");
  });

  it.each([
    [{ vin: "a/b" }],
    [{}],
    [{ vin: "ENR-001", expires_at: "tomorrow" }],
    [{ vin: "ENR-001", expires_at: new Date(Date.now() - HOUR).toISOString() }],
    [{ vin: "ENR-001", expires_at: new Date(Date.now() + 31 * 24 * HOUR).toISOString() }],
    [{ vin: "ENR-001", uses: 2 }],
  ])("is not made of %j", async (body) => {
    expect(problemOf(await newToken(body))).toBe("REQUEST_INVALID");
  });
});

describe("a vehicle with a token", () => {
  it.each(["ecdsa-p256", "ml-dsa-65"] as const)(
    "gets a certificate for its %s key, and connects with it",
    async (algorithm) => {
      const vin = `ENR-${algorithm}`;
      const order = orderFor(vin, algorithm);
      const answer = await enroll({ csr: order.csr, token: await tokenFor(vin) });
      expect(answer.status).toBe(201);
      const chain = answer.json.certificate as string;
      const leaf = new X509Certificate(chain);
      expect(leaf.subject).toBe(`CN=${vin}`);
      expect(leaf.ca).toBe(false);
      expect(leaf.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
      const days = (leaf.validToDate.getTime() - Date.now()) / (24 * HOUR);
      expect(Math.round(days)).toBe(365);
      const profile = algorithm === "ecdsa-p256" ? 2 : 8;
      const options = await tlsAs(gateway, order.identity(chain), profile);
      const client = await gateway.mqtt(vin, options as IClientOptions);
      expect(client.connected).toBe(true);
      expect(await records(vin)).toMatchObject([
        {
          vin,
          fingerprint: answer.json.fingerprint,
          serial: leaf.serialNumber.toLowerCase(),
          algorithm,
          not_after: answer.json.not_after,
          issued_by: expect.stringMatching(/^token:[0-9a-f-]{36}$/) as string,
          revoked_at: null,
        },
      ]);
    },
  );

  it("gets nothing else that its request asks for", async (context) => {
    requirePeer(context, "openssl");
    const vin = "ENR-002";
    const key = join(gateway.config.data_dir, "vehicle.key");
    writeFileSync(key, privateKeyPem(generateKeys("ecdsa-p256").privateKey));
    const wishes = ["basicConstraints=critical,CA:TRUE", "subjectAltName=DNS:localhost"];
    const usage = "extendedKeyUsage=serverAuth";
    const extensions = [...wishes, usage].flatMap((each) => ["-addext", each]);
    const subject = `/O=Somebody/CN=${vin}`;
    const args = ["req", "-new", "-key", key, "-subj", subject, ...extensions];
    const csr = execFileSync("openssl", args, { encoding: "utf8" });
    const { json } = await enroll({ csr, token: await tokenFor(vin) });
    const leaf = new X509Certificate(json.certificate as string);
    expect(leaf.subject).toBe(`CN=${vin}`);
    expect(leaf.subjectAltName).toBeUndefined();
    expect(leaf.ca).toBe(false);
    expect(leaf.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
  });

  it("uses it once, also when it asks twice at the same time", async () => {
    const vin = "ENR-003";
    const token = await tokenFor(vin);
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => enroll({ csr: orderFor(vin).csr, token })),
    );
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([
      201, 403, 403, 403, 403,
    ]);
    expect(problemOf(await enroll({ csr: orderFor(vin).csr, token }))).toBe(
      "ENROLLMENT_TOKEN_INVALID",
    );
    expect(await records(vin)).toHaveLength(1);
  });

  it("does not use it up by a request that is refused", async () => {
    const vin = "ENR-004";
    const token = await tokenFor(vin);
    for (const [csr, code] of [
      ["nonsense", "CSR_MALFORMED"],
      [orderFor("ENR-999").csr, "CSR_SUBJECT_MISMATCH"],
      [orderFor(vin, "ml-dsa-87").csr, "CSR_ALGORITHM_UNSUPPORTED"],
    ]) {
      expect(problemOf(await enroll({ csr, token }))).toBe(code);
    }
    expect((await enroll({ csr: orderFor(vin).csr, token })).status).toBe(201);
  });

  it("that is past its time gets nothing", async () => {
    const vin = "ENR-005";
    const soon = new Date(Date.now() + 300).toISOString();
    const { json } = await newToken({ vin, expires_at: soon });
    const ends = Date.parse(json.expires_at as string);
    while (Date.now() <= ends) await new Promise((turn) => setImmediate(turn));
    const answer = await enroll({ csr: orderFor(vin).csr, token: json.token });
    expect(problemOf(answer)).toBe("ENROLLMENT_TOKEN_INVALID");
  });

  it.each([
    ["an unknown token", { token: "lwe_unknown" }, "ENROLLMENT_TOKEN_INVALID"],
    ["an empty token", { token: "" }, "REQUEST_INVALID"],
    ["no token and no certificate", {}, "CLIENT_CERTIFICATE_REQUIRED"],
    ["more than a CSR can be", { csr: "A".repeat(MAX_CSR_LENGTH + 1) }, "REQUEST_INVALID"],
    ["a list", { csr: [] }, "REQUEST_INVALID"],
    ["something else beside", { vin: "ENR-006" }, "REQUEST_INVALID"],
  ])("is refused with %s", async (_name, body, code) => {
    const answer = await enroll({ csr: orderFor("ENR-006").csr, ...body });
    expect(problemOf(answer)).toBe(code);
  });

  it("does not see it in a log line", async () => {
    const token = await tokenFor("ENR-007");
    await enroll({ csr: orderFor("ENR-007").csr, token });
    expect(JSON.stringify(gateway.log)).not.toContain(token.slice(4));
  });
});

describe("a vehicle with its factory certificate", () => {
  it("gets one of the gateway's, and both are on record", async () => {
    const vin = "ENR-010";
    const vehicle = await gateway.vehicle(vin);
    const { csr } = orderFor(vin);
    const answer = await enroll({ csr }, vehicle);
    expect(answer.status).toBe(201);
    const found = await records(vin);
    expect(found.map(({ issued_by }) => issued_by)).toEqual(["factory", "external"]);
  });

  it("gets none for another vehicle", async () => {
    const vehicle = await gateway.vehicle("ENR-011");
    expect(problemOf(await enroll({ csr: orderFor("ENR-012").csr }, vehicle))).toBe(
      "CSR_SUBJECT_MISMATCH",
    );
  });

  it("of another authority gets nothing", async () => {
    const foreign = `${gateway.config.data_dir}/foreign`;
    await ensureDevelopmentPki(foreign, { algorithms: ["ecdsa-p256"] });
    await issueVehicleCertificate(foreign, { vehicleId: "ENR-013" });
    const options = await tlsAs(gateway, await loadVehicleIdentity(foreign, "ENR-013"));
    const vehicle = gateway.as(options);
    const answer = await enroll({ csr: orderFor("ENR-013").csr }, vehicle);
    expect(problemOf(answer)).toBe("CLIENT_CERTIFICATE_REJECTED");
  });
});

describe("renewal", () => {
  it("gives a vehicle a certificate for a new key or for the one it has", async () => {
    const vin = "ENR-020";
    const order = orderFor(vin);
    const { json } = await enroll({ csr: order.csr, token: await tokenFor(vin) });
    const vehicle = gateway.as(await tlsAs(gateway, order.identity(json.certificate as string)));
    const again = await renew({ csr: order.csr }, vehicle);
    const other = orderFor(vin);
    const rekeyed = await renew({ csr: other.csr }, vehicle);
    expect([again.status, rekeyed.status]).toEqual([201, 201]);
    const next = gateway.as(
      await tlsAs(gateway, other.identity(rekeyed.json.certificate as string)),
    );
    const answer = await next.send("POST", "/api/v1/vehicles/register", { body: { vin } });
    expect(answer.status).toBe(201);
    const found = await records(vin);
    expect(found.map(({ issued_by }) => String(issued_by).split(":")[0])).toEqual([
      "renewal",
      "renewal",
      "token",
    ]);
  });

  it("is refused without a certificate, to an operator, and for another vehicle", async () => {
    const vehicle = await gateway.vehicle("ENR-021");
    const { csr } = orderFor("ENR-022");
    expect(problemOf(await renew({ csr }, nobody))).toBe("CLIENT_CERTIFICATE_REQUIRED");
    expect(problemOf(await renew({ csr }, gateway.admin))).toBe("CLIENT_CERTIFICATE_REQUIRED");
    expect(problemOf(await renew({ csr }, vehicle))).toBe("CSR_SUBJECT_MISMATCH");
    const body = { csr: orderFor("ENR-021").csr, vin: "ENR-022" };
    expect(problemOf(await renew(body, vehicle))).toBe("VEHICLE_MISMATCH");
  });

  it("stops when a vehicle asks for it too often", async () => {
    const vin = "ENR-023";
    const vehicle = await gateway.vehicle(vin);
    const { csr } = orderFor(vin);
    for (let i = 0; i < 24; i++) expect((await renew({ csr }, vehicle)).status).toBe(201);
    expect(problemOf(await renew({ csr }, vehicle))).toBe("CERTIFICATES_TOO_MANY");
  });
});

describe("the record", () => {
  it("is for operators, and comes in pages", async () => {
    const vehicle = await gateway.vehicle("ENR-024");
    expect(problemOf(await vehicle.send("GET", path))).toBe("TOKEN_REQUIRED");
    const seen: string[] = [];
    let cursor = "";
    do {
      const { json } = await gateway.admin.send("GET", `${path}?vin=ENR-023&limit=10${cursor}`);
      seen.push(...json.items.map((each: { fingerprint: string }) => each.fingerprint));
      cursor = json.next_cursor === null ? "" : `&cursor=${json.next_cursor}`;
    } while (cursor !== "");
    expect(new Set(seen).size).toBe(25);
    expect(seen).toHaveLength(25);
  });
});

describe("a gateway without the authority's key", () => {
  it("says that it can't issue", async () => {
    const own = await startGateway();
    try {
      await rm(`${own.config.certs_dir}/vehicle-ca/ecdsa-p256/issuing.key`);
      const made = await own.admin.send("POST", `${path}/enrollment-tokens`, {
        body: { vin: "ENR-030" },
      });
      const body = { csr: orderFor("ENR-030").csr, token: made.json.token as string };
      const answer = await own.operator("").send("POST", `${path}/enroll`, { body });
      expect(problemOf(answer)).toBe("ISSUER_UNAVAILABLE");
    } finally {
      await own.close();
    }
  });
});
