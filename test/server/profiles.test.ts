import { once } from "node:events";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import mqtt, { type IClientOptions } from "mqtt";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { loadServerConfig } from "#config/server.ts";
import { KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { negotiated } from "#crypto/negotiated.ts";
import {
  ensureDevelopmentPki,
  issueVehicleCertificate,
  loadVehicleIdentity,
  serverCa,
} from "#crypto/pki.ts";
import { TLS_PROFILES, type TlsProfile } from "#crypto/profiles.ts";
import { clientTlsOptions } from "#crypto/tls.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { startListeners, type OwnListeners } from "./own-listeners.ts";

const vin = "VMG-001";
const folder = temporaryFolder();
const all = TLS_PROFILES.map(({ id }) => id);
let ca: string;

beforeAll(async () => {
  await ensureDevelopmentPki(folder.path, { algorithms: KeyAlgorithm });
  for (const algorithm of KeyAlgorithm) {
    await issueVehicleCertificate(folder.path, { vehicleId: vin, algorithm });
  }
  ca = await serverCa(folder.path);
});
afterAll(() => folder.remove());

async function vehicle({ id, certificate }: TlsProfile): Promise<ConnectionOptions> {
  const identity = await loadVehicleIdentity(folder.path, vin, certificate);
  return clientTlsOptions({ profile: id, identity, ca });
}

function open(listeners: OwnListeners, on: "https" | "mqtt", options: ConnectionOptions) {
  const port = listeners.ports[on];
  return connect({ host: "127.0.0.1", port, servername: "localhost", ...options });
}

/** Asks the HTTPS listener for a page; resolves with its answer when the connection has closed. */
async function get(socket: TLSSocket, path: string): Promise<{ status: number; body: unknown }> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
  await once(socket, "close");
  const [head = "", body = ""] = Buffer.concat(chunks).toString().split("\r\n\r\n");
  return { status: Number(head.split(" ")[1]), body: JSON.parse(body) as unknown };
}

async function connected(socket: TLSSocket): Promise<TLSSocket> {
  await once(socket, "secureConnect");
  return socket;
}

/** What the gateway makes of a connection of this profile, by group. */
const agreed = ({ id, certificate }: TlsProfile, group: string) => ({
  peer: { kind: "vehicle", vehicleId: vin },
  negotiated: { protocol: "TLSv1.3", group, peerKeyType: certificate, profile: { id } },
});

describe.each(TLS_PROFILES)("a gateway with profile $id ($name) alone", (profile) => {
  let listeners: OwnListeners;
  beforeAll(async () => {
    listeners = await startListeners(folder.path, [profile.id]);
  });
  afterAll(() => listeners.close());

  it.each(profile.groups)("takes an HTTPS request over %s", async (group) => {
    const options = { ...(await vehicle(profile)), ecdhCurve: group };
    const socket = await connected(open(listeners, "https", options));
    expect(socket.authorized).toBe(true);
    expect(negotiated(socket)).toMatchObject({ group, peerKeyType: profile.certificate });
    expect((await get(socket, "/me")).status).toBe(200);
    expect(listeners.seen.https.get(vin)).toMatchObject(agreed(profile, group));
  });

  it.each(profile.groups)("takes an MQTT session over %s", async (group) => {
    const options = { ...(await vehicle(profile)), ecdhCurve: group } as IClientOptions;
    const client = await mqtt.connectAsync({
      host: "127.0.0.1",
      servername: "localhost",
      port: listeners.ports.mqtt,
      protocol: "mqtts",
      protocolVersion: 4,
      clientId: vin,
      reconnectPeriod: 0,
      ...options,
    });
    expect(listeners.seen.mqtt.get(vin)).toMatchObject(agreed(profile, group));
    await client.endAsync();
  });

  it("counts and logs what was agreed on", async () => {
    for (const listener of ["https", "mqtt"]) {
      for (const group of profile.groups) {
        const labels = `listener="${listener}",group="${group}",peer_key_type="${profile.certificate}",profile="${profile.id}"`;
        expect(await listeners.counters()).toContain(
          `latticeway_tls_connections_total{${labels}} 1\n`,
        );
        const facts = { listener, group, peer_key_type: profile.certificate, profile: profile.id };
        expect(listeners.lines).toContainEqual(expect.objectContaining({ ...facts, vehicle: vin }));
      }
    }
  });

  const others = TLS_PROFILES.filter(({ id }) => id !== profile.id);
  describe.each(["https", "mqtt"] as const)("on %s", (listener) => {
    it.each(others)("refuses a client of profile $id", async (other) => {
      const socket = open(listeners, listener, await vehicle(other));
      const outcome = await Promise.race([
        once(socket, "error").then(([error]) => (error as { code?: string }).code),
        once(socket, "secureConnect").then(() => "connected"),
      ]);
      socket.destroy();
      expect(outcome).toMatch(/^ERR_SSL_.*HANDSHAKE_FAILURE$/);
      const sharesGroup = profile.groups.some((group) => other.groups.includes(group));
      const code = sharesGroup
        ? "ERR_SSL_NO_SHARED_SIGNATURE_ALGORITHMS"
        : "ERR_SSL_NO_SUITABLE_KEY_SHARE";
      await vi.waitFor(() => {
        const refusals = listeners.lines.filter((line) => line["listener"] === listener);
        expect(refusals.at(-1)).toMatchObject({ code });
      });
    });
  });
});

describe("a gateway with all thirteen at once", () => {
  let listeners: OwnListeners;
  beforeAll(async () => {
    listeners = await startListeners(folder.path, all);
  });
  afterAll(() => listeners.close());

  it.each(TLS_PROFILES)("serves a vehicle of profile $id by that profile", async (profile) => {
    for (const listener of ["https", "mqtt"] as const) {
      const socket = await connected(open(listeners, listener, await vehicle(profile)));
      expect(negotiated(socket)).toMatchObject({ profile: { id: profile.id } });
      socket.destroy();
    }
    const socket = await connected(open(listeners, "https", await vehicle(profile)));
    const [group] = profile.groups;
    const { body } = await get(socket, "/who");
    expect(body).toMatchObject({ group, peer: { kind: "vehicle", vehicleId: vin } });
  });

  /** What browsers offer; the third lists ML-DSA before it can verify a chain with it. */
  const browsers: Record<string, ConnectionOptions> = {
    "X25519MLKEM768 and ECDSA alone": {
      ecdhCurve: "X25519MLKEM768:X25519:P-256:P-384",
      sigalgs: "ecdsa_secp256r1_sha256",
    },
    "what Firefox does": {
      ecdhCurve: "X25519MLKEM768:X25519:P-256:P-384:P-521",
      sigalgs: "ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:rsa_pss_rsae_sha256:rsa_pkcs1_sha256",
    },
    "ML-DSA first": {
      ecdhCurve: "X25519MLKEM768:X25519:P-256",
      sigalgs: "mldsa44:mldsa65:mldsa87:ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256",
    },
  };

  it.each(Object.entries(browsers))("shows ECDSA to a browser that offers %s", async (_, offer) => {
    const options = { minVersion: "TLSv1.2", ca, ...offer } as const;
    const socket = await connected(open(listeners, "https", options));
    expect(socket.authorized).toBe(true);
    expect(negotiated(socket)).toMatchObject({
      group: "X25519MLKEM768",
      peerKeyType: "ecdsa-p256",
      profile: { id: 2 },
    });
    expect((await get(socket, "/who")).body).toEqual({
      group: "X25519MLKEM768",
      peer: { kind: "anonymous" },
    });
  });
});

describe("the classical profile", () => {
  it("is off unless somebody enables it", () => {
    expect(loadServerConfig({}).tls.profiles).toEqual([2]);
  });
});
