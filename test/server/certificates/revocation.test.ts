import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import type { IClientOptions } from "mqtt";
import pino from "pino";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { authorityFiles, serverFiles, vehicleFiles } from "#crypto/pki-layout.ts";
import { startApp } from "#server/app.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { requirePeer } from "#test/helpers/optional.ts";
import { metric } from "#test/server/metric.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { logged, openSocket, tlsAs } from "#test/server/raw-client.ts";
import { factoryIdentity, fingerprintOf, orderFor } from "./identity.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({ tls: { profiles: [2, 8] } });
});
afterAll(() => gateway.close());

const path = "/api/v1/certificates";
const revoke = (body: object, caller = gateway.admin) =>
  caller.send("POST", `${path}/revoke`, { body });

/** A certificate issued over the API, and how to connect with it. */
async function issued(vin: string, order = orderFor(vin)) {
  const made = await gateway.admin.send("POST", `${path}/enrollment-tokens`, { body: { vin } });
  const { json } = await gateway
    .operator("")
    .send("POST", `${path}/enroll`, { body: { csr: order.csr, token: made.json.token } });
  const identity = order.identity(json.certificate as string);
  const fingerprint = json.fingerprint as string;
  return { identity, fingerprint, options: await tlsAs(gateway, identity) };
}

const refusedBy = (listener: string) => ({ listener, reason: "CERT_REVOKED" });

const register = (vin: string) =>
  `POST /api/v1/vehicles/register HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${vin.length + 10}\r\n\r\n{"vin":"${vin}"}`;

/** One more request on a connection that stays open. @returns its status line */
async function ask(socket: TLSSocket, vin: string): Promise<string> {
  const answered = once(socket, "data");
  socket.write(register(vin));
  const [chunk] = (await answered) as [Buffer];
  return chunk.toString().split("\r\n")[0] ?? "";
}

describe("a certificate that is revoked", () => {
  it("cuts what is open, HTTPS and MQTT, and nobody else's", async () => {
    const vin = "REV-001";
    const { options, fingerprint } = await issued(vin);
    const client = await gateway.mqtt(vin, options as IClientOptions);
    const other = await gateway.mqtt("REV-002");
    const socket = await openSocket(gateway, "https", options);
    expect(await ask(socket, vin)).toBe("HTTP/1.1 201 Created");
    const ends = [
      once(socket, "close"),
      new Promise<void>((done) => client.once("close", () => done())),
    ];
    const answer = await revoke({ fingerprint, reason: "key_compromise" });
    expect(answer.status).toBe(200);
    expect(answer.json.items).toMatchObject([
      { vin, fingerprint, revocation_reason: "key_compromise", revoked_by: "first-admin" },
    ]);
    await Promise.all(ends);
    expect(other.connected).toBe(true);
    await logged(gateway, (line) => line["vehicle"] === vin && line["code"] === "CERT_REVOKED");
  });

  it("opens nothing any more, and is logged and counted", async () => {
    const vin = "REV-003";
    const { options, fingerprint } = await issued(vin);
    await revoke({ fingerprint });
    const count = () =>
      Promise.all(
        (["https", "mqtt"] as const).map((on) =>
          metric(gateway, "tls_refused_total", refusedBy(on)),
        ),
      );
    const before = await count();
    const vehicle = gateway.as(options);
    const refused = await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
    expect(problemOf(refused)).toBe("CLIENT_CERTIFICATE_REJECTED");
    expect(refused.json.detail).toMatch(/revoked/);
    const { csr } = orderFor(vin);
    for (const route of ["enroll", "renew"]) {
      const answer = await vehicle.send("POST", `${path}/${route}`, { body: { csr } });
      expect(problemOf(answer)).toBe("CLIENT_CERTIFICATE_REJECTED");
    }
    const error = await gateway.mqttRefusal(vin, options as IClientOptions);
    expect(error.message).not.toBe("was let in");
    const after = await count();
    expect(after.map((value, on) => value > (before[on] ?? 0))).toEqual([true, true]);
  });

  it.each(["https", "mqtt"] as const)(
    "opens nothing on %s by a session from before",
    async (on) => {
      const { options, fingerprint } = await issued(`REV-004-${on}`);
      const first = await openSocket(gateway, on, options);
      const [session] = (await once(first, "session")) as [Buffer];
      await revoke({ fingerprint });
      const before = await metric(gateway, "tls_refused_total", refusedBy(on));
      const socket = await openSocket(gateway, on, { ...options, session });
      onTestFinished(() => void socket.destroy());
      expect(socket.isSessionReused()).toBe(true);
      expect(await metric(gateway, "tls_refused_total", refusedBy(on))).toBe(before + 1);
    },
  );

  it("stays so after a restart", async () => {
    const vin = "REV-005";
    const { options, fingerprint } = await issued(vin);
    await revoke({ fingerprint });
    await gateway.restart();
    const error = await gateway.mqttRefusal(vin, options as IClientOptions);
    expect(error.message).not.toBe("was let in");
  });

  it("is named by itself when it was not issued here", async () => {
    const vin = "REV-006";
    const { options, identity, fingerprint } = await factoryIdentity(gateway, vin);
    const unknown = await revoke({ fingerprint });
    expect(problemOf(unknown)).toBe("CERTIFICATE_UNKNOWN");
    expect(unknown.json.detail).toMatch(/by the certificate itself/);
    const client = await gateway.mqtt(vin, options as IClientOptions);
    const closed = new Promise<void>((done) => client.once("close", () => done()));
    const answer = await revoke({ certificate: identity.chain });
    expect(answer.json.items).toMatchObject([{ vin, fingerprint, issued_by: "external" }]);
    await closed;
  });

  it("can be all that a vehicle has", async () => {
    const vin = "REV-007";
    const certificates = [await issued(vin), await issued(vin)];
    const answer = await revoke({ vin, reason: "cessation_of_operation" });
    const revoked = answer.json.items.map((each: { fingerprint: string }) => each.fingerprint);
    expect(revoked.sort()).toEqual(certificates.map(({ fingerprint }) => fingerprint).sort());
    for (const { options } of certificates) {
      const error = await gateway.mqttRefusal(vin, options as IClientOptions);
      expect(error.message).not.toBe("was let in");
    }
    const { json } = await gateway.admin.send("GET", `${path}?vin=${vin}&revoked=true`);
    expect(json.items).toHaveLength(2);
  });

  it("by its vehicle says what may still hold, as factory certificates are not known", async () => {
    const vin = "REV-011";
    const { fingerprint } = await issued(vin);
    const factory = await factoryIdentity(gateway, vin);
    const answer = await revoke({ vin });
    expect(answer.json.items).toMatchObject([{ fingerprint }]);
    expect(answer.json.warnings).toEqual([expect.stringMatching(/REV-011 .* still hold/)]);
    const client = await gateway.mqtt(vin, factory.options as IClientOptions);
    expect(client.connected).toBe(true);
    expect((await revoke({ certificate: factory.identity.chain })).json.warnings).toEqual([]);
  });

  it("takes others for the same key with it only if the key is compromised", async () => {
    const order = orderFor("REV-012");
    const same = [await issued("REV-012", order), await issued("REV-012", order)];
    const elsewhere = orderFor("REV-013", "ecdsa-p256", order);
    same.push(await issued("REV-013", elsewhere));
    const other = await issued("REV-012");
    const [first, ...rest] = same.map(({ fingerprint }) => fingerprint);
    const revokedBy = async (body: object) =>
      (await revoke(body)).json.items.map((each: { fingerprint: string }) => each.fingerprint);
    expect(await revokedBy({ fingerprint: first, reason: "superseded" })).toEqual([first]);
    const all: string[] = await revokedBy({ fingerprint: first, reason: "key_compromise" });
    expect(new Set(all)).toEqual(new Set([first, ...rest]));
    const [left] = (await gateway.admin.send("GET", `${path}?vin=REV-012&revoked=false`)).json
      .items as { fingerprint: string }[];
    expect(left?.fingerprint).toBe(other.fingerprint);
    const client = await gateway.mqtt("REV-012", other.options as IClientOptions);
    expect(client.connected).toBe(true);
  });

  it("for a compromised key is followed by no other for it, and uses no token up", async () => {
    const vin = "REV-014";
    const order = orderFor(vin);
    const { fingerprint } = await issued(vin, order);
    await revoke({ fingerprint, reason: "key_compromise" });
    const made = await gateway.admin.send("POST", `${path}/enrollment-tokens`, { body: { vin } });
    const enroll = (csr: string) =>
      gateway
        .operator("")
        .send("POST", `${path}/enroll`, { body: { csr, token: made.json.token } });
    expect(problemOf(await enroll(order.csr))).toBe("CSR_KEY_COMPROMISED");
    expect((await enroll(orderFor(vin).csr)).status).toBe(201);
  });

  it("keeps the reason and time that it was first revoked with", async () => {
    const { fingerprint } = await issued("REV-008");
    const first = await revoke({ fingerprint, reason: "superseded" });
    const second = await revoke({ fingerprint, reason: "key_compromise" });
    expect(second.json).toEqual(first.json);
  });

  it.each([
    ["nothing", {}, "REQUEST_INVALID"],
    ["half a fingerprint", { fingerprint: "00" }, "REQUEST_INVALID"],
    ["two names", { fingerprint: "0".repeat(64), vin: "REV-001" }, "REQUEST_INVALID"],
    ["no reason", { fingerprint: "0".repeat(64), reason: "bad_mood" }, "REQUEST_INVALID"],
    ["too long a certificate", { certificate: "A".repeat(32_769) }, "REQUEST_INVALID"],
    ["an unknown vehicle", { vin: "REV-404" }, "CERTIFICATE_UNKNOWN"],
    ["an unknown certificate", { fingerprint: "0".repeat(64) }, "CERTIFICATE_UNKNOWN"],
    ["nonsense", { certificate: "nonsense" }, "CERTIFICATE_MALFORMED"],
  ])("is not found by %s", async (_name, body, code) => {
    expect(problemOf(await revoke(body))).toBe(code);
  });

  it("must be a vehicle's", async () => {
    const file = serverFiles(gateway.config.certs_dir, "ecdsa-p256").certificate;
    const answer = await revoke({ certificate: readFileSync(file, "utf8") });
    expect(problemOf(answer)).toBe("CERTIFICATE_MALFORMED");
  });

  it("is for an admin to say", async () => {
    const { json } = await gateway.admin.send("POST", "/api/v1/operators/tokens", {
      body: { name: "releases", role: "release_manager" },
    });
    const other = gateway.operator(json.token as string);
    expect(problemOf(await revoke({ vin: "REV-001" }, other))).toBe("ROLE_REQUIRED");
    const vehicle = await gateway.vehicle("REV-009");
    expect(problemOf(await revoke({ vin: "REV-001" }, vehicle))).toBe("TOKEN_REQUIRED");
  });
});

describe("another process on the same database", () => {
  it("refuses it too, and cuts what is open there", async (context) => {
    context.skip(gateway.app.database === "embedded", "an embedded database has one process");
    const vin = "REV-010";
    const { options, fingerprint } = await issued(vin);
    const folder = temporaryFolder();
    const config = {
      ...gateway.config,
      data_dir: folder.path,
      certificates: { ...gateway.config.certificates, poll_ms: 10 },
    };
    const app = await startApp(config, pino({ level: "silent" }));
    onTestFinished(async () => {
      await app.close();
      folder.remove();
    });
    const there = { port: app.ports.mqtt, ...(options as IClientOptions) };
    const client = await gateway.mqtt(vin, there);
    const closed = new Promise<void>((done) => client.once("close", () => done()));
    await revoke({ fingerprint });
    await closed;
    const error = await gateway.mqttRefusal(vin, there);
    expect(error.message).not.toBe("was let in");
  });
});

describe("the revocation list", () => {
  const list = (query = "") => gateway.operator("").send("GET", `${path}/crl${query}`);
  const openssl = (...args: string[]) => {
    const { stdout, stderr } = spawnSync("openssl", args, { encoding: "utf8" });
    return stdout + stderr;
  };

  it("is one by OpenSSL, with the number before until something is revoked", async (context) => {
    requirePeer(context, "openssl");
    const certs = gateway.config.certs_dir;
    const file = join(gateway.config.data_dir, "list.crl");
    const issuing = authorityFiles(certs, "vehicle", "ecdsa-p256", "issuing").certificate;
    const root = authorityFiles(certs, "vehicle", "ecdsa-p256", "root").certificate;
    const read = async () => {
      const answer = await list();
      expect(answer.headers["content-type"]).toBe("application/pkix-crl");
      writeFileSync(file, answer.bytes);
      const text = openssl("crl", "-in", file, "-CAfile", issuing, "-noout", "-text");
      expect(text).toContain("verify OK");
      return Number(/CRL Number: *\n *(\d+)/.exec(text)?.[1]);
    };
    const { fingerprint } = await factoryIdentity(gateway, "REV-020");
    const leaf = vehicleFiles(certs, "REV-020", "ecdsa-p256").certificate;
    const verdict = () =>
      openssl(
        ...["verify", "-crl_check", "-CRLfile", file, "-CAfile", root, "-untrusted", issuing, leaf],
      );
    const number = await read();
    expect(await read()).toBe(number);
    expect(verdict()).toMatch(/: OK\n/);
    const { identity } = await factoryIdentity(gateway, "REV-020");
    await revoke({ certificate: identity.chain });
    expect(fingerprintOf(identity.chain)).toBe(fingerprint);
    expect(await read()).toBe(number + 1);
    expect(verdict()).toMatch(/certificate revoked/);
    expect(await read()).toBe(number + 1);
  });

  it("is one per authority", async () => {
    const [classical, quantum] = [await list(), await list("?algorithm=ml-dsa-65")];
    expect(classical.bytes.equals(quantum.bytes)).toBe(false);
    expect(quantum.bytes.length).toBeGreaterThan(3309);
    expect(problemOf(await list("?algorithm=rsa"))).toBe("REQUEST_INVALID");
    expect(problemOf(await list("?algorithm=ml-dsa-87"))).toBe("ISSUER_UNAVAILABLE");
    const line = gateway.log.find(({ code }) => code === "ISSUER_UNAVAILABLE");
    expect(line).toMatchObject({ level: 40, msg: expect.stringContaining("no such certificate") });
    expect(line).not.toHaveProperty("err");
  });

  it("has one number for those who ask at once", async () => {
    const { fingerprint } = await issued("REV-021");
    await revoke({ fingerprint });
    const answers = await Promise.all(Array.from({ length: 4 }, () => list()));
    expect(new Set(answers.map(({ bytes }) => bytes.toString("hex"))).size).toBe(1);
  });
});
