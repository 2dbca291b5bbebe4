import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { issueVehicleCertificate, loadVehicleIdentity, vehicleCa } from "#crypto/pki.ts";
import { splitChain } from "#crypto/certificate-chain.ts";
import {
  beginAuthentication,
  demandAuthenticated,
  type TesterCredentials,
} from "#protocol/uds/authentication.ts";
import {
  encodeProofOfOwnership,
  encodeTransmitCertificate,
  encodeVerifyCertificate,
} from "#protocol/uds/authentication-messages.ts";
import { authenticate, credentials, testerPki, type TesterPki } from "./authentication-rig.ts";
import { ecuConfig, ecuRig, type EcuRig } from "./ecu-rig.ts";

const DAY = 86_400_000;
const COMPLETE = "6903120000";
/** Needs a security level, or the role `write`. */
const WRITE = "2ef19920261105";
const WRITTEN = "6ef199";
const LOCKED = "7f2e33";

let pki: TesterPki;
let writer: TesterCredentials;
let rig: EcuRig;

beforeAll(async () => {
  pki = await testerPki();
  writer = await pki.tester("writer");
});
afterAll(() => pki.remove());
beforeEach(async () => {
  rig = await start();
  await rig.expectPositive("1003");
});
afterEach(() => rig.dispose());

const start = (more: object = {}) =>
  ecuRig({}, {}, undefined, undefined, { ...pki.options, ...more });

/** In the place of the one that is there. */
async function restarted(more: object): Promise<void> {
  await rig.dispose();
  rig = await start(more);
  await rig.expectPositive("1003");
}

const verifyCertificate = (more: Partial<Parameters<typeof encodeVerifyCertificate>[0]> = {}) =>
  encodeVerifyCertificate({
    task: 0x01,
    communicationConfiguration: 0,
    certificate: writer.certificate,
    challenge: new Uint8Array(),
    ...more,
  });

const anyProof = () =>
  encodeProofOfOwnership({ proof: Buffer.alloc(70, 1), ephemeralPublicKey: new Uint8Array() });

/** The right proof for the challenge that the ECU gives now. */
async function nextProof(tester = writer): Promise<Uint8Array> {
  const { request, prove } = beginAuthentication(tester);
  const [answer = ""] = await rig.ask(request);
  return prove(Buffer.from(answer, "hex"));
}

describe("29 authentication", () => {
  test.each(["ecdsa-p256", "ml-dsa-65"] as const)(
    "opens what the role covers: %s",
    async (algorithm) => {
      const tester = await pki.tester("writer", { algorithm });
      expect(await rig.ask(WRITE)).toEqual([LOCKED]);
      expect(await authenticate(rig, tester)).toBe(COMPLETE);
      expect(await rig.ask(WRITE)).toEqual([WRITTEN]);
      expect(await rig.ask("2900")).toEqual(["690010"]);
      expect(await rig.ask(WRITE)).toEqual([LOCKED]);
    },
  );

  test.each(["ecdsa-p256", "ml-dsa-65"] as const)(
    "proves the car to the tester: %s",
    async (algorithm) => {
      const tester = await pki.tester("writer", { algorithm });
      const car = { roots: pki.carRoots, vehicleId: ecuConfig.vin };
      const { request, prove } = beginAuthentication({ ...tester, car });
      const [challenged = ""] = await rig.ask(request);
      const proof = prove(Buffer.from(challenged, "hex"));
      const [answer = ""] = await rig.ask(proof);
      demandAuthenticated(proof, Buffer.from(answer, "hex"));
      expect(await rig.ask(WRITE)).toEqual([WRITTEN]);
    },
  );

  test("tells how it authenticates", async () => {
    expect(await rig.ask("2908")).toEqual(["690802"]);
  });

  test("gives another challenge each time", async () => {
    const answers = new Set<string>();
    for (let n = 0; n < 10; n++) answers.add((await rig.ask(verifyCertificate()))[0] ?? "");
    expect(answers.size).toBe(10);
    for (const answer of answers) expect(answer).toMatch(/^6901110020[0-9a-f]{64}0000$/);
  });

  test("takes no proof twice, nor one for an earlier challenge", async () => {
    const earlier = await nextProof();
    const proof = await nextProof();
    expect(await rig.ask(earlier)).toEqual(["7f2958"]);
    expect(await rig.ask(proof)).toEqual(["7f2924"]);
    const again = await nextProof();
    expect(await rig.ask(again)).toEqual([COMPLETE]);
    expect(await rig.ask(again)).toEqual(["7f2924"]);
    await rig.ask(verifyCertificate());
    expect(await rig.ask(again)).toEqual(["7f2958"]);
  });

  test("takes a proof by the key of the certificate only", async () => {
    const other = await pki.tester("another");
    const { request } = beginAuthentication(writer);
    const { prove } = beginAuthentication(other);
    const [challenged = ""] = await rig.ask(request);
    expect(await rig.ask(prove(Buffer.from(challenged, "hex")))).toEqual(["7f2958"]);
    expect(await rig.ask(WRITE)).toEqual([LOCKED]);
  });

  test.each([0, 1, 63, 70, 3309])(
    "takes no proof of %s bytes that mean nothing",
    async (length) => {
      for (const algorithm of ["ecdsa-p256", "ml-dsa-65"] as const) {
        const { certificate } = await pki.tester("writer", { algorithm });
        await rig.ask(verifyCertificate({ certificate }));
        const proof = Buffer.alloc(length, 0x30);
        const request = encodeProofOfOwnership({ proof, ephemeralPublicKey: new Uint8Array() });
        expect(await rig.ask(request)).toEqual(["7f2958"]);
      }
    },
  );
});

/** The answer of each state to each request, and whether the tester is authenticated after it. */
describe("each request in each state", () => {
  const requests = {
    "00": () => "2900",
    "01": () => verifyCertificate(),
    "01 of a stranger": () => verifyCertificate({ certificate: Buffer.from("3000", "hex") }),
    "02": () => verifyCertificate({ task: 0x02, challenge: Buffer.alloc(32) }),
    "03 wrong": () => anyProof(),
    "04": () => authorityRequest(),
    "05": () => `290500${"00".repeat(16)}`,
    "08": () => "2908",
  };
  type RequestName = keyof typeof requests;
  const states = {
    idle: async () => {},
    challenged: async () => void (await rig.ask(verifyCertificate())),
    authenticated: async () => void (await authenticate(rig, writer)),
  };
  type State = keyof typeof states;

  const table: Record<State, Record<RequestName, [answer: string, isOpen: boolean]>> = {
    idle: {
      "00": ["690010", false],
      "01": ["690111", false],
      "01 of a stranger": ["7f2954", false],
      "02": ["690211", false],
      "03 wrong": ["7f2924", false],
      "04": ["690413", false],
      "05": ["7f2912", false],
      "08": ["690802", false],
    },
    challenged: {
      "00": ["690010", false],
      "01": ["690111", false],
      "01 of a stranger": ["7f2954", false],
      "02": ["690211", false],
      "03 wrong": ["7f2958", false],
      "04": ["690413", false],
      "05": ["7f2912", false],
      "08": ["690802", false],
    },
    authenticated: {
      "00": ["690010", false],
      "01": ["690111", false],
      "01 of a stranger": ["7f2954", false],
      "02": ["690211", false],
      "03 wrong": ["7f2924", true],
      "04": ["690413", true],
      "05": ["7f2912", true],
      "08": ["690802", true],
    },
  };
  const rows = Object.entries(table).flatMap(([state, answers]) =>
    Object.entries(answers).map(
      ([request, [answer, isOpen]]) =>
        [state as State, request as RequestName, answer, isOpen] as const,
    ),
  );
  test.each(rows)("%s: %s", async (state, request, answer, isOpen) => {
    await states[state]();
    const [given = ""] = await rig.ask(requests[request]());
    expect(given.slice(0, 6)).toBe(answer);
    expect(await rig.ask(WRITE)).toEqual([isOpen ? WRITTEN : LOCKED]);
  });

  test.each<[RequestName, string]>([
    ["00", "7f2924"],
    ["01 of a stranger", "7f2924"],
    ["03 wrong", "7f2924"],
    ["04", COMPLETE],
    ["05", COMPLETE],
    ["08", COMPLETE],
  ])("after a challenge and %s a right proof is answered %s", async (request, answer) => {
    const proof = await nextProof();
    await rig.ask(requests[request]());
    expect(await rig.ask(proof)).toEqual([answer]);
  });

  function authorityRequest(evaluationId = 0x0001): Uint8Array {
    const [, certificate = new Uint8Array()] = splitChain(writer.certificate) ?? [];
    return encodeTransmitCertificate({ evaluationId, certificate });
  }

  test("an authority that was sent ahead need not come again", async () => {
    const [leaf = new Uint8Array()] = splitChain(writer.certificate) ?? [];
    const short = { ...writer, certificate: leaf };
    expect(await authenticate(rig, short)).toBe("7f2952");
    expect(await rig.ask(authorityRequest(0x0002))).toEqual(["7f2931"]);
    await rig.expectPositive(authorityRequest());
    // Of this tester only.
    expect(await authenticate(rig, short, { source: 0x0e81 })).toBe("7f2952");
    expect(await authenticate(rig, short)).toBe(COMPLETE);
    const stranger = encodeTransmitCertificate({ evaluationId: 1, certificate: leaf });
    expect(await rig.ask(stranger)).toEqual(["7f2952"]);
  });
});

describe("a certificate", () => {
  test.each<[string, () => Promise<TesterCredentials>, string]>([
    ["that is over", () => issued("old", { now: new Date(Date.now() - 2 * DAY) }), "7f2950"],
    ["that has not begun", () => issued("new", { now: new Date(Date.now() + DAY) }), "7f2950"],
    ["for another vehicle", () => issued("away", { vehicles: ["VMG-404"] }), "7f2956"],
    [
      "for this one among others",
      () => issued("two", { vehicles: ["X-1", ecuConfig.vin] }),
      COMPLETE,
    ],
    ["of a vehicle", ofVehicle, "7f2952"],
    ["of a car", () => Promise.resolve(credentials(pki.car[0] ?? missing())), "7f2952"],
    ["of another tester's root", ofStranger, "7f2952"],
  ])("%s", async (_, tester, answer) => {
    expect(await authenticate(rig, await tester())).toBe(answer);
    expect(await rig.ask(WRITE)).toEqual([answer === COMPLETE ? WRITTEN : LOCKED]);
  });

  const issued = (name: string, request: object) => pki.tester(`tester-${name}`, request);

  async function ofVehicle(): Promise<TesterCredentials> {
    await issueVehicleCertificate(pki.folder, { vehicleId: ecuConfig.vin });
    return credentials(await loadVehicleIdentity(pki.folder, ecuConfig.vin));
  }

  async function ofStranger(): Promise<TesterCredentials> {
    const stranger = await testerPki();
    const tester = await stranger.tester("writer");
    await stranger.remove();
    return tester;
  }

  function missing(): never {
    throw new Error("the car has no certificate");
  }

  test("whose signature is wrong", async () => {
    const [leaf = new Uint8Array()] = splitChain(writer.certificate) ?? [];
    const certificate = Buffer.from(writer.certificate);
    certificate[leaf.length - 1] = (certificate[leaf.length - 1] ?? 0) ^ 1;
    expect(await rig.ask(verifyCertificate({ certificate }))).toEqual(["7f2951"]);
  });

  test("for servers is no tester's, whatever its root", async () => {
    await restarted({ testerCa: pki.carRoots });
    expect(await authenticate(rig, credentials(pki.car[0] ?? missing()))).toBe("7f2952");
  });

  test("without a role, under the right root, is no tester's", async () => {
    await restarted({ testerCa: await vehicleCa(pki.folder) });
    expect(await authenticate(rig, await ofVehicle())).toBe("7f2955");
  });

  test("cut at any length is never taken", async () => {
    for (let length = 0; length < writer.certificate.length; length += 1) {
      const certificate = writer.certificate.subarray(0, length);
      const [answer = ""] = await rig.ask(verifyCertificate({ certificate }));
      expect([length, answer.slice(0, 4)]).toEqual([length, "7f29"]);
    }
    expect(await rig.ask(WRITE)).toEqual([LOCKED]);
  });

  test("of ML-DSA-65 is taken with its chain, over 4,095 bytes", async () => {
    const { certificate } = await pki.tester("writer", { algorithm: "ml-dsa-65" });
    expect(certificate.length).toBeGreaterThan(4_095);
    const [answer = ""] = await rig.ask(verifyCertificate({ certificate }));
    expect(answer.slice(0, 6)).toBe("690111");
  });
});

describe("the length of a request", () => {
  test.each([
    ["29", "7f2913"],
    ["290000", "7f2913"],
    ["290800", "7f2913"],
    ["2901", "7f2913"],
    ["2902", "7f2913"],
    ["2903", "7f2913"],
    ["2904", "7f2913"],
    ["2909", "7f2912"],
    ["2906", "7f2912"],
    ["2907", "7f2912"],
  ])("%s is answered %s", async (request, answer) => {
    expect(await rig.ask(request)).toEqual([answer]);
  });

  test("counts each byte", async () => {
    for (const request of [verifyCertificate(), anyProof()]) {
      for (const length of [2, 3, 4, 5, 6, request.length - 2, request.length - 1]) {
        expect(await rig.ask(request.subarray(0, length))).toEqual(["7f2913"]);
      }
      expect(await rig.ask(Buffer.concat([request, Uint8Array.of(0)]))).toEqual(["7f2913"]);
    }
  });

  test.each<[string, Partial<Parameters<typeof encodeVerifyCertificate>[0]>]>([
    ["a communication configuration that there is not", { communicationConfiguration: 1 }],
    ["a challenge that is too long", { challenge: Buffer.alloc(65) }],
    ["no challenge, bidirectionally", { task: 0x02 }],
    ["a short challenge, bidirectionally", { task: 0x02, challenge: Buffer.alloc(15) }],
    ["a text of TLS to be signed", { task: 0x02, challenge: Buffer.alloc(130) }],
  ])("%s is out of range", async (_, more) => {
    expect(await rig.ask(verifyCertificate(more))).toEqual(["7f2931"]);
  });

  test("an ephemeral key has no session key to make", async () => {
    await rig.ask(verifyCertificate());
    const proof = encodeProofOfOwnership({
      proof: Buffer.alloc(70),
      ephemeralPublicKey: Uint8Array.of(1),
    });
    expect(await rig.ask(proof)).toEqual(["7f295b"]);
  });
});

test("an ECU without a certificate can't prove itself", async () => {
  await restarted({ car: [] });
  const request = verifyCertificate({ task: 0x02, challenge: Buffer.alloc(32) });
  expect(await rig.ask(request)).toEqual(["7f2912"]);
  expect(await authenticate(rig, writer)).toBe(COMPLETE);
});

test("an ECU that knows no testers' root takes no certificate", async () => {
  await restarted({ testerCa: "" });
  expect(await authenticate(rig, writer)).toBe("7f2952");
});
