import { spawn } from "node:child_process";
import { createPrivateKey } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { loadVehicleConfig, type VehicleConfig } from "#config/vehicle.ts";
import { carCa, issueTesterCertificate, loadTesterIdentity } from "#crypto/diagnostic-pki.ts";
import { testerTlsOptions } from "#crypto/diagnostic-tls.ts";
import { ensureDevelopmentPki, loadVehicleIdentity } from "#crypto/pki.ts";
import type { TlsIdentity } from "#crypto/tls.ts";
import { beginAuthentication, chainOf, demandAuthenticated } from "#protocol/uds/authentication.ts";
import { systemClock } from "#protocol/doip/clock.ts";
import { connectDoip, type DoipClient } from "#protocol/doip/client.ts";
import type { AckOutcome } from "#protocol/doip/tester.ts";
import { examine } from "#test/protocol/doip/conformance.ts";
import { rawSocket } from "#test/protocol/doip/raw-socket.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { requirePeer } from "#test/helpers/optional.ts";
import { signingPairIn } from "#test/helpers/signing-pair.ts";
import { connector, testerTrust } from "#vmg-sim/connector.ts";
import { provisionVehicle, type Provisioning } from "#vmg-sim/provision.ts";
import { EDGE, edgeRig, examinedEdge, FRONT, VIN, type EdgeRig } from "./edge-rig.ts";

const TESTER = "0e00";
/** In the range that must use TLS. */
const TLS_TESTER = "0e85";
const CENTRAL_SECURITY = "e0";
const DAY = 86_400_000;

let folder: { path: string; remove(): void };
let provisioning: Provisioning;
let rig: EdgeRig | undefined;

beforeAll(async () => {
  folder = temporaryFolder();
  await ensureDevelopmentPki(folder.path);
  await signingPairIn(join(folder.path, "signing"));
  provisioning = await provisionVehicle(folder.path, VIN, 2);
  for (const [name, vehicles] of [
    ["bench", []],
    ["elsewhere", ["LATTICE0000000002"]],
  ] as const) {
    await issueTesterCertificate(folder.path, {
      name,
      role: "read",
      vehicles,
      algorithm: "ecdsa-p256",
      lifetimeMs: DAY,
    });
  }
});
afterAll(() => folder.remove());
afterEach(async () => {
  await rig?.dispose();
  rig = undefined;
});

type Edge = VehicleConfig["doip"]["edge"];

/** A vehicle whose connector is as its configuration says. */
async function start(config: Partial<Edge> = {}): Promise<{ port: number; tlsPort: number }> {
  const shipped = loadVehicleConfig({}).doip.edge;
  const edge: Edge = { ...shipped, port: 0, tls_port: 0, announce_to: "", ...config };
  const { diagnostics } = provisioning;
  const trust = diagnostics && testerTrust({ required_from: "write" }, diagnostics, undefined);
  rig = await edgeRig(systemClock, connector(edge, VIN, diagnostics), trust);
  const { port, tlsPort = 0 } = rig.edge;
  return { port, tlsPort };
}

async function tlsAs(identity?: TlsIdentity): Promise<ConnectionOptions> {
  const ca = await carCa(folder.path);
  return testerTlsOptions({ carCa: ca, vehicleId: VIN, ...(identity && { identity }) });
}

const bench = () => loadTesterIdentity(folder.path, "bench");

const request = (source: string, type = "00") => `02fd000500000007${source}${type}00000000`;
const response = (source: string, code: string) => `02fd000600000009${source}0001${code}00000000`;
const readVin = `02fd800100000007${TLS_TESTER}100122f190`;
const vinAnswer =
  `02fd8002000000051001${TLS_TESTER}00` +
  `02fd8001000000181001${TLS_TESTER}62f190${Buffer.from(VIN).toString("hex")}`;

async function activate(port: number, source: string, type = "00", tls?: ConnectionOptions) {
  const raw = await rawSocket(port, tls);
  raw.send(request(source, type));
  return { raw, answer: await raw.receive(17) };
}

describe("the connector's TLS port", () => {
  test("is where a tester goes that is told so in the clear", async () => {
    const { port, tlsPort } = await start({ tls_testers: ["0x0E80-0x0EFF"] });
    const { raw, answer } = await activate(port, TLS_TESTER);
    expect(answer).toBe(response(TLS_TESTER, "07"));
    expect(await raw.closed()).toBe("");
    const secure = await activate(tlsPort, TLS_TESTER, "00", await tlsAs());
    expect(secure.answer).toBe(response(TLS_TESTER, "10"));
    secure.raw.send(readVin);
    expect(await secure.raw.receive(vinAnswer.length / 2)).toBe(vinAnswer);
    // Another tester may come as it likes.
    expect((await activate(port, TESTER)).answer).toBe(response(TESTER, "10"));
  });

  test("speaks by ISO 13400-2 to a tester on Python's TLS", async (context) => {
    requirePeer(context, "python3");
    const { tlsPort } = await start({ client_certificates: "required" });
    if (rig === undefined) throw new Error("the vehicle has not started");
    const file = (name: string) => join(folder.path, name);
    const tls = {
      ca: file("car-ca/ecdsa-p256/root.pem"),
      certificate: file("testers/bench.ecdsa-p256.pem"),
      key: file("testers/bench.ecdsa-p256.key"),
    };
    expect(await examine("conversation", examinedEdge(rig, tlsPort), { tls })).toBe("no deviation");
  });

  test("carries a message of 60,000 bytes to an ECU", async () => {
    const { tlsPort } = await start();
    const { raw } = await activate(tlsPort, TESTER, "00", await tlsAs());
    raw.send(`02fd80010000ea64${TESTER}1001${"3e".padEnd(2 * 60_000, "0")}`);
    const ack = `02fd8002000000051001${TESTER}00`;
    const expected = `${ack}02fd8001000000071001${TESTER}7f3e13`;
    expect(await raw.receive(expected.length / 2)).toBe(expected);
  });

  test.each([
    ["who shows a certificate, after the driver has agreed", "bench", ["11", "10"]],
    ["not who shows one for another vehicle", "elsewhere", ["04"]],
    ["not who shows none", undefined, ["04"]],
  ])("admits to central security %s", async (_, name, codes) => {
    const { tlsPort } = await start();
    const identity = name === undefined ? undefined : await loadTesterIdentity(folder.path, name);
    const raw = await rawSocket(tlsPort, await tlsAs(identity));
    raw.send(request(TESTER, CENTRAL_SECURITY));
    for (const code of codes) expect(await raw.receive(17)).toBe(response(TESTER, code));
  });

  test("does not trust a certificate where it asks for none", async () => {
    const { tlsPort } = await start({ client_certificates: "none" });
    const options = await tlsAs(await bench());
    const { answer } = await activate(tlsPort, TESTER, CENTRAL_SECURITY, options);
    expect(answer).toBe(response(TESTER, "04"));
  });

  test.each([
    ["none", () => Promise.resolve(undefined)],
    ["a vehicle's", () => loadVehicleIdentity(folder.path, VIN)],
    ["one for another vehicle", () => loadTesterIdentity(folder.path, "elsewhere")],
  ])("that demands a certificate ends with %s", async (_, identity) => {
    const { tlsPort } = await start({ client_certificates: "required" });
    // In TLS 1.3 a client is done before the server has looked at its certificate.
    const raw = await rawSocket(tlsPort, await tlsAs(await identity()));
    raw.send(request(TESTER));
    expect(await raw.closed()).toBe("");
    const { answer } = await activate(tlsPort, TESTER, "00", await tlsAs(await bench()));
    expect(answer).toBe(response(TESTER, "10"));
  });

  test("is not there where it is not wanted, or the car has no certificate for it", async () => {
    const { tlsPort } = await start({ tls_port: "none" });
    expect(tlsPort).toBe(0);
    const { edge } = loadVehicleConfig({}).doip;
    const bare = { testerCa: "", car: [] };
    expect(connector(edge, VIN, bare).tls).toBeUndefined();
    expect(connector(edge, VIN, undefined).tls).toBeUndefined();
  });
});

describe("our tester", () => {
  async function connect(
    port: number,
    tls?: { port: number; options: ConnectionOptions },
    answers = new EventEmitter(),
  ) {
    const received = Promise.withResolvers<string>();
    const client = await connectDoip({
      host: "127.0.0.1",
      port,
      ...(tls && { tls }),
      source: 0x0e85,
      clock: systemClock,
      connectMs: 30_000,
      ackMs: 30_000,
      maxPayload: 0xffff,
      onMessage({ userData }) {
        received.resolve(Buffer.from(userData).toString("hex"));
        answers.emit("answer", Buffer.from(userData));
      },
      onClosed() {},
    });
    return { client, received: received.promise };
  }

  const sent = (client: DoipClient, uds: string) =>
    new Promise<AckOutcome>((done) => client.send(FRONT, Buffer.from(uds, "hex"), done));

  test.each([
    ["an ECU", FRONT],
    ["the edge gateway", EDGE],
  ])("authenticates itself by ML-DSA to %s, and that to us", async (_, target) => {
    const { port, tlsPort } = await start({ tls_testers: [0x0e85] });
    const request = { role: "write", algorithm: "ml-dsa-65", lifetimeMs: DAY } as const;
    await issueTesterCertificate(folder.path, { ...request, name: "bench" });
    const identity = await loadTesterIdentity(folder.path, "bench", "ml-dsa-65");
    const answers = new EventEmitter();
    const options = { ...(await tlsAs(identity)), sigalgs: "mldsa65" };
    const tls = { port: tlsPort, options };
    let { client } = await connect(port, tls, answers);
    const ask = async (uds: Uint8Array): Promise<Buffer> => {
      const answered = new Promise<Buffer>((done) => {
        // A busy machine makes the ECU ask for time (78).
        answers.on("answer", (answer: Buffer) => answer[2] === 0x78 || done(answer));
      });
      client.send(target, uds, () => {});
      return answered;
    };
    const clear = Buffer.from("14ffffff", "hex");
    expect((await ask(clear)).toString("hex")).toBe("7f1434");
    const first = beginAuthentication({
      certificate: chainOf(identity.chain),
      privateKey: createPrivateKey(identity.key),
      car: { roots: await carCa(folder.path), vehicleId: VIN },
    });
    expect(first.request.length).toBeGreaterThan(8_000);
    const proof = first.prove(await ask(first.request));
    demandAuthenticated(proof, await ask(proof));
    expect((await ask(clear)).toString("hex")).toBe("54");

    // Whoever comes with its address once it is gone has none of it.
    client.close();
    ({ client } = await connect(port, tls, answers));
    expect((await ask(clear)).toString("hex")).toBe("7f1434");
    client.close();
  });

  test("comes again by TLS after a 07", async () => {
    const { port, tlsPort } = await start({
      tls_testers: [0x0e85],
      client_certificates: "required",
    });
    const options = await tlsAs(await bench());
    const { client, received } = await connect(port, { port: tlsPort, options });
    expect(await sent(client, "22f190")).toEqual({ kind: "acknowledged" });
    expect(await received).toBe(`62f190${Buffer.from(VIN).toString("hex")}`);
    client.close();
  });

  test("says so when it was not told how", async () => {
    const { port } = await start({ tls_testers: [0x0e85] });
    await expect(connect(port)).rejects.toMatchObject({ code: "DOIP_CONNECT", wireCode: 0x07 });
  });

  test("goes by TLS only where it is asked to", async () => {
    const { port } = await start();
    const { client, received } = await connect(port, { port: 1, options: {} });
    await sent(client, "3e00");
    expect(await received).toBe("7e00");
    client.close();
  });

  test("does not talk to another car than the one that it came for", async () => {
    const { port, tlsPort } = await start({ tls_testers: [0x0e85] });
    const other = testerTlsOptions({ carCa: await carCa(folder.path), vehicleId: "OTHER" });
    await expect(connect(port, { port: tlsPort, options: other })).rejects.toThrow(
      "the certificate is not that of OTHER",
    );
  });
});

test.for([
  ["TLS 1.3", 1.3, ["-tls1_3", "-groups", "X25519"]],
  ["TLS 1.2", 1.2, ["-tls1_2"]],
] as const)(
  "OpenSSL's client diagnoses an ECU by %s",
  async ([, minVersion, protocol], context) => {
    requirePeer(context, "openssl");
    const { tlsPort } = await start({
      tls_min_version: minVersion,
      tls_testers: ["0x0E00-0x0EFF"],
      client_certificates: "required",
    });
    const files = join(folder.path, "testers/bench.ecdsa-p256");
    const client = spawn("openssl", [
      ...["s_client", "-connect", `127.0.0.1:${tlsPort}`, ...protocol, "-quiet"],
      ...["-verify_return_error", "-CAfile", join(folder.path, "car-ca/ecdsa-p256/root.pem")],
      ...["-cert", `${files}.pem`, "-cert_chain", `${files}.pem`, "-key", `${files}.key`],
    ]);
    const answer: Buffer[] = [];
    client.stdin.write(Buffer.from(request(TLS_TESTER) + readVin, "hex"));
    const expected = response(TLS_TESTER, "10") + vinAnswer;
    client.stdout.on("data", (part: Buffer) => {
      answer.push(part);
      if (Buffer.concat(answer).length >= expected.length / 2) client.kill();
    });
    await once(client, "close");
    expect(Buffer.concat(answer).toString("hex")).toBe(expected);
  },
);
