import { join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import type { IClientOptions } from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ensureDevelopmentPki,
  issueVehicleCertificate,
  loadServerIdentities,
  loadVehicleIdentity,
} from "#crypto/pki.ts";
import type { TlsIdentity } from "#crypto/tls.ts";
import { topicOf } from "#protocol/mqtt/topic.ts";
import { sampleVci } from "#test/helpers/fleet-data.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { metric } from "#test/server/metric.ts";
import { handshakeError, logged, rawRequest, sendRaw, tlsAs } from "#test/server/raw-client.ts";

const DAY = 86_400_000;
const vin = "VMG-001";
let gateway: TestGateway;

beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());

/** Certificates that must open nothing, whom they claim to be, and the code in the log. */
const badCertificates: Record<string, { code: string; make: () => Promise<TlsIdentity> }> = {
  "of a foreign authority": {
    code: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    async make() {
      const foreign = join(gateway.config.data_dir, "foreign");
      await ensureDevelopmentPki(foreign, { algorithms: ["ecdsa-p256"] });
      await issueVehicleCertificate(foreign, { vehicleId: vin });
      return loadVehicleIdentity(foreign, vin);
    },
  },
  "that has expired": {
    code: "CERT_HAS_EXPIRED",
    async make() {
      const vehicleId = "VMG-EXPIRED";
      const notBefore = new Date(Date.now() - 2 * DAY);
      const notAfter = new Date(Date.now() - DAY);
      await issueVehicleCertificate(gateway.config.certs_dir, { vehicleId, notBefore, notAfter });
      return loadVehicleIdentity(gateway.config.certs_dir, vehicleId);
    },
  },
  "that is not valid yet": {
    code: "CERT_NOT_YET_VALID",
    async make() {
      const vehicleId = "VMG-EARLY";
      const notBefore = new Date(Date.now() + DAY);
      await issueVehicleCertificate(gateway.config.certs_dir, { vehicleId, notBefore });
      return loadVehicleIdentity(gateway.config.certs_dir, vehicleId);
    },
  },
  "of a server": {
    code: "INVALID_PURPOSE",
    async make() {
      const [identity] = await loadServerIdentities(gateway.config.certs_dir);
      if (identity === undefined) throw new Error("the gateway has no certificate");
      return identity;
    },
  },
};

const since = () => {
  const start = gateway.log.length;
  return (fits: (line: Record<string, unknown>) => boolean) =>
    logged(gateway, (line) => gateway.log.indexOf(line) >= start && fits(line));
};

const refusedCount = (listener: string, reason: string) =>
  metric(gateway, "tls_refused_total", { listener, reason });

describe.each(Object.entries(badCertificates))("a certificate %s", (_, { code, make }) => {
  let options: ConnectionOptions;
  beforeAll(async () => {
    options = await tlsAs(gateway, await make());
  });

  it("opens no vehicle route, and the log says why", async () => {
    const log = since();
    const before = await refusedCount("https", code);
    const body = JSON.stringify({ vin });
    const answer = await sendRaw(
      gateway,
      options,
      rawRequest("POST", "/api/v1/vehicles/register", ["content-type: application/json"], body),
    );
    expect(answer.status).toBe(401);
    expect(JSON.parse(answer.body)).toMatchObject({ code: "CLIENT_CERTIFICATE_REJECTED" });
    const line = await log((each) => each["code"] === code && each["listener"] === "https");
    expect(line["msg"]).toMatch(/^Client certificate refused: the certificate/);
    expect(line["subject"]).toMatch(/^CN=/);
    expect(await refusedCount("https", code)).toBe(before + 1);
    const vehicles = await gateway.admin.send("GET", "/api/v1/vehicles");
    expect(vehicles.json.items).toEqual([]);
  });

  it("opens no MQTT session, and the log says why", async () => {
    const log = since();
    const before = await refusedCount("mqtt", code);
    const error = await gateway.mqttRefusal(vin, options as IClientOptions);
    expect(error.message).not.toBe("was let in");
    const line = await log((each) => each["code"] === code && each["listener"] === "mqtt");
    expect(line["msg"]).toMatch(/^Client certificate refused/);
    expect(await refusedCount("mqtt", code)).toBe(before + 1);
  });
});

describe("no certificate", () => {
  it("opens no vehicle route, nor does an operator's token in its place", async () => {
    for (const caller of [gateway.operator(""), gateway.admin]) {
      const answer = await caller.send("POST", "/api/v1/vehicles/register", { body: { vin } });
      expect(answer.status).toBe(401);
      expect(answer.json.code).toBe("CLIENT_CERTIFICATE_REQUIRED");
    }
  });

  it("opens no MQTT session", async () => {
    const log = since();
    const error = await gateway.mqttRefusal(vin, { key: "", cert: "" });
    expect(error.message).not.toBe("was let in");
    await log((each) => each["msg"] === "Client without a certificate refused");
  });
});

/** Clients that can't agree with the gateway on how to speak. */
const badHandshakes: Record<string, { change: ConnectionOptions; code: string; reason: RegExp }> = {
  "TLS 1.2": {
    change: { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" },
    code: "ERR_SSL_UNSUPPORTED_PROTOCOL",
    reason: /does not speak TLS 1\.3/,
  },
  "a classical-only client": {
    change: { ecdhCurve: "X25519:P-256:P-384" },
    code: "ERR_SSL_NO_SUITABLE_KEY_SHARE",
    reason: /no key exchange group in common/,
  },
  "a group of a profile that is not enabled": {
    change: { ecdhCurve: "MLKEM1024" },
    code: "ERR_SSL_NO_SUITABLE_KEY_SHARE",
    reason: /no key exchange group in common/,
  },
};

describe.each(Object.entries(badHandshakes))("%s", (_, { change, code, reason }) => {
  it.each(["https", "mqtt"] as const)(
    "fails the handshake on %s, with the reason",
    async (listener) => {
      const log = since();
      await issueVehicleCertificate(gateway.config.certs_dir, { vehicleId: vin });
      const identity = await loadVehicleIdentity(gateway.config.certs_dir, vin);
      const options = { ...(await tlsAs(gateway, identity)), ...change };
      const error = await handshakeError(gateway, listener, options);
      expect(error.code).toMatch(/^ERR_SSL|ECONNRESET/);
      const line = await log((each) => each["listener"] === listener && each["code"] === code);
      expect(line["msg"]).toMatch(reason);
    },
  );
});

describe("a certificate for another vehicle", () => {
  let vehicle: Caller;
  const other = "VMG-002";
  beforeAll(async () => {
    vehicle = await gateway.vehicle(vin);
    const twin = await gateway.vehicle(other);
    for (const [id, caller] of [
      [vin, vehicle],
      [other, twin],
    ] as const) {
      await caller.send("POST", "/api/v1/vehicles/register", { body: { vin: id } });
    }
  });

  it.each([
    ["POST", "/api/v1/vehicles/VMG-002/vci", () => sampleVci()],
    ["POST", "/api/v1/vehicles/register", () => ({ vin: other })],
    ["POST", "/api/v1/ota/check", () => ({ vin: other, ecus: sampleVci().ecus })],
    ["POST", "/api/v1/ota/package", () => ({ vin: other })],
    ["POST", "/api/v1/vehicles/VMG-001/vci", () => ({ ...sampleVci(), vin: other })],
  ])("is refused in path and body: %s %s", async (method, path, body) => {
    const answer = await vehicle.send(method, path, { body: body() });
    expect(answer.status).toBe(403);
    expect(answer.json.code).toBe("VEHICLE_MISMATCH");
  });

  it("is refused however the path spells the other", async () => {
    const answer = await vehicle.send("POST", "/api/v1/vehicles/%56MG-002/vci", {
      body: sampleVci(),
    });
    expect(answer.json.code).toBe("VEHICLE_MISMATCH");
    const history = await gateway.admin.send("GET", `/api/v1/vehicles/${other}/vci`);
    expect(history.json.items).toEqual([]);
  });

  it.each([[{ vin: [vin] }], [{ vin: null }], [{ vin: { toString: vin } }], [{ vin: "vmg-001" }]])(
    "is refused when the body's vin is no text of its own: %j",
    async (body) => {
      const answer = await vehicle.send("POST", "/api/v1/ota/package", { body });
      expect(answer.status).toBe(403);
    },
  );

  it("is refused as an MQTT client id, and the log names both", async () => {
    const log = since();
    const error = await gateway.mqttRefusal(vin, { clientId: other });
    expect(error.message).not.toBe("was let in");
    const line = await log((each) => each["code"] === "MQTT_CLIENT_ID_MISMATCH");
    expect(line["msg"]).toMatch(/client id VMG-002, certificate for VMG-001/);
  });

  it.each(["", "vmg-001", "VMG-001 ", "#", "vehicle/VMG-002"])(
    "is refused as an MQTT client id of %j",
    async (clientId) => {
      const error = await gateway.mqttRefusal(vin, { clientId });
      expect(error.message).not.toBe("was let in");
    },
  );
});

describe("a proper vehicle", () => {
  it("has its connection kept: group, key type and profile", async () => {
    const client = await gateway.mqtt(vin);
    await client.publishAsync(
      topicOf(vin, "heartbeat"),
      JSON.stringify({ ts: new Date().toISOString(), state: "idle" }),
      { qos: 1 },
    );
    await gateway.restart();
    const vehicle = await gateway.admin.send("GET", `/api/v1/vehicles/${vin}`);
    expect(vehicle.json.connection).toMatchObject({
      via: "mqtt",
      group: "X25519MLKEM768",
      peer_key_type: "ecdsa-p256",
      profile: 2,
    });
    expect(vehicle.json.status).toBe("online");
  });
});
