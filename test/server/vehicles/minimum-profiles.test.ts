import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { IClientOptions } from "mqtt";
import type { Negotiated } from "#crypto/negotiated.ts";
import { issueVehicleCertificate, loadVehicleIdentity } from "#crypto/pki.ts";
import { findProfile, meetsProfile, TLS_PROFILES } from "#crypto/profiles.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { createAdmission } from "#server/runtime/admission.ts";
import { removeVehicle } from "#server/vehicles/leaving.ts";
import { followMinimumProfiles } from "#server/vehicles/minimum-profiles.ts";
import { patchVehicle, registerVehicle } from "#server/vehicles/queries.ts";
import { metric } from "#test/server/metric.ts";
import { ownDatabase, silentLog } from "#test/server/own-database.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { logged, openSocket, tlsAs } from "#test/server/raw-client.ts";

const profiles = [0, 1, 2, 3, 5, 8, 11];
let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({ tls: { profiles } });
});
afterAll(() => gateway.close());

const path = (vin: string) => `/api/v1/vehicles/${vin}`;
const demand = (vin: string, min_profile: number | null) =>
  gateway.admin.send("PATCH", path(vin), { body: { min_profile } });

/** Registers a vehicle, while it may. */
async function registered(vin: string, profile = 2): Promise<Caller> {
  const vehicle = await gateway.vehicle(vin, profile);
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
  return vehicle;
}

async function tls(vin: string, profile: number) {
  const algorithm = findProfile(profile)?.certificate ?? "ecdsa-p256";
  await issueVehicleCertificate(gateway.config.certs_dir, { vehicleId: vin, algorithm });
  return tlsAs(
    gateway,
    await loadVehicleIdentity(gateway.config.certs_dir, vin, algorithm),
    profile,
  );
}

describe("the order of strength", () => {
  it("goes by class, and the classes by number", () => {
    const classes = ["classical", "pq-key-exchange", "hybrid", "pure-pq", "pq"];
    const order = TLS_PROFILES.map((profile) => classes.indexOf(profile.class));
    expect(order).toEqual([0, 1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4]);
  });

  it("puts each profile above those before it, and none below all", () => {
    for (const profile of TLS_PROFILES) {
      for (const { id } of TLS_PROFILES) expect(meetsProfile(profile, id)).toBe(profile.id >= id);
    }
    expect(meetsProfile(undefined, 0)).toBe(false);
  });
});

describe("a vehicle's minimum profile", () => {
  it("is for a release manager to set, a profile's number or null", async () => {
    await registered("MIN-001");
    expect((await gateway.admin.send("GET", path("MIN-001"))).json.min_profile).toBeNull();
    expect((await demand("MIN-001", 2)).json.min_profile).toBe(2);
    for (const wrong of [13, -1, 2.5]) {
      expect(problemOf(await demand("MIN-001", wrong))).toBe("REQUEST_INVALID");
    }
    const { json } = await gateway.admin.send("POST", "/api/v1/operators/tokens", {
      body: { name: "looks on", role: "viewer" },
    });
    const answer = await gateway
      .operator(json.token as string)
      .send("PATCH", path("MIN-001"), { body: { min_profile: null } });
    expect(problemOf(answer)).toBe("ROLE_REQUIRED");
    expect(problemOf(await demand("MIN-404", 2))).toBe("VEHICLE_UNKNOWN");
  });

  it.each(profiles)(
    "of %i lets in what is as strong, and refuses what is weaker",
    async (least) => {
      const vin = `MIN-1${String(least).padStart(2, "0")}`;
      await registered(vin);
      await demand(vin, least);
      const outcomes: (number | string)[] = [];
      for (const profile of profiles) {
        const vehicle = await gateway.vehicle(vin, profile);
        const answer = await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
        outcomes.push(answer.status === 200 ? 200 : problemOf(answer));
      }
      expect(outcomes).toEqual(
        profiles.map((profile) => (profile >= least ? 200 : "TLS_PROFILE_TOO_WEAK")),
      );
    },
  );

  it("is answered with 403 over HTTPS, closes the connection, is logged and counted", async () => {
    const vin = "MIN-002";
    await registered(vin);
    await demand(vin, 5);
    const labels = { listener: "https", reason: "TLS_PROFILE_TOO_WEAK" };
    const before = await metric(gateway, "tls_refused_total", labels);
    const socket = await openSocket(gateway, "https", await tls(vin, 2));
    const ended = once(socket, "close");
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
    const body = JSON.stringify({ vin });
    socket.write(
      `POST /api/v1/vehicles/register HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await ended;
    expect(text).toMatch(/^HTTP\/1\.1 403 /);
    expect(text.toLowerCase()).toContain("\r\nconnection: close\r\n");
    expect(text).toContain('"TLS_PROFILE_TOO_WEAK"');
    await logged(
      gateway,
      (line) => line["code"] === "TLS_PROFILE_TOO_WEAK" && line["vehicle"] === vin,
    );
    expect(await metric(gateway, "tls_refused_total", labels)).toBe(before + 1);
  });

  it("is answered with CONNACK 5 over MQTT, which then closes", async () => {
    const vin = "MIN-003";
    await registered(vin);
    await demand(vin, 8);
    const labels = { listener: "mqtt", reason: "TLS_PROFILE_TOO_WEAK" };
    const before = await metric(gateway, "tls_refused_total", labels);
    const socket = await openSocket(gateway, "mqtt", await tls(vin, 5));
    const ended = once(socket, "close");
    const received: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => received.push(chunk));
    const id = Buffer.from(vin);
    const rest = Buffer.concat([
      Buffer.of(0, 4),
      Buffer.from("MQTT"),
      Buffer.of(4, 2, 0, 30, 0, id.length),
      id,
    ]);
    socket.write(Buffer.concat([Buffer.of(0x10, rest.length), rest]));
    await ended;
    expect(Buffer.concat(received)).toEqual(Buffer.of(0x20, 2, 0, 5));
    expect(await metric(gateway, "tls_refused_total", labels)).toBe(before + 1);
    const strong = await gateway.mqtt(vin, (await tls(vin, 8)) as IClientOptions);
    expect(strong.connected).toBe(true);
  });

  it("that is raised cuts what is open below it, and what is lowered lets in again", async () => {
    const vin = "MIN-004";
    await registered(vin);
    const client = await gateway.mqtt(vin);
    const other = await gateway.mqtt("MIN-005");
    const closed = new Promise<void>((done) => client.once("close", () => done()));
    await demand(vin, 3);
    await closed;
    expect(other.connected).toBe(true);
    expect((await gateway.mqttRefusal(vin)).message).toMatch(/Not authorized/i);
    await demand(vin, null);
    expect((await gateway.mqtt(vin)).connected).toBe(true);
  });

  it("outlives a restart", async () => {
    const vin = "MIN-006";
    await registered(vin);
    await demand(vin, 3);
    await gateway.restart();
    expect((await gateway.mqttRefusal(vin)).message).toMatch(/Not authorized/i);
  });

  it("ends with the vehicle, which may come back by any", async () => {
    const vin = "MIN-008";
    await registered(vin);
    await demand(vin, 3);
    expect((await gateway.mqttRefusal(vin)).message).toMatch(/Not authorized/i);
    expect((await gateway.admin.send("DELETE", path(vin))).status).toBe(204);
    expect((await gateway.mqtt(vin)).connected).toBe(true);
  });

  it("holds for a session that is resumed", async () => {
    const vin = "MIN-007";
    await registered(vin);
    const options = await tls(vin, 2);
    const first = await openSocket(gateway, "https", options);
    const [session] = (await once(first, "session")) as [Buffer];
    first.destroy();
    await demand(vin, 3);
    const socket = await openSocket(gateway, "https", { ...options, session });
    onTestFinished(() => void socket.destroy());
    expect(socket.isSessionReused()).toBe(true);
    const line = await logged(
      gateway,
      (each) => each["vehicle"] === vin && String(each["msg"]).startsWith("Connection refused"),
    );
    expect(line["profile"]).toBe(2);
  });
});

describe("another gateway of the database", () => {
  it("learns that a vehicle has been removed, and that it has come back with another", async () => {
    const own = await ownDatabase();
    onTestFinished(() => own.remove());
    const { db } = own;
    const admission = createAdmission(silentLog);
    const vin = "MIN-100";
    const minimum = async (min_profile: number) => {
      await registerVehicle(db, { vin });
      await patchVehicle(db, vin, { min_profile });
    };
    await minimum(5);
    const other = await followMinimumProfiles({
      db,
      admission,
      everyMs: undefined,
      log: silentLog,
    });
    expect(refused(5, 3)).toEqual([false, true]);
    await removeVehicle(db, vin);
    await other.refresh();
    expect(refused(0)).toEqual([false]);
    await minimum(3);
    await other.refresh();
    expect(refused(3, 2)).toEqual([false, true]);
    await removeVehicle(db, vin);
    await other.refresh();
    expect(refused(0)).toEqual([false]);

    function refused(...ids: number[]): boolean[] {
      const peer = { kind: "vehicle", vehicleId: vin, fingerprint: "" } as const;
      return ids.map((id) => {
        const negotiated = { ...nothing, profile: findProfile(id) };
        return admission.refusal({ peer, negotiated }) !== undefined;
      });
    }
  });

  const nothing: Negotiated = {
    ...{ protocol: "TLSv1.3", cipher: "", group: "", groupCode: undefined },
    ...{ peerKeyType: undefined, profile: undefined, resumed: false },
  };
});
