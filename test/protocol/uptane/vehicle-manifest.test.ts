import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { generateKeys, type KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { keySigner } from "#crypto/signing-keys.ts";
import {
  checkReports,
  signVehicleManifest,
  verifyVehicleManifest,
  type VehicleManifest,
} from "#protocol/uptane/vehicle-manifest.ts";
import { refusal } from "./run.ts";

const INVALID = "VCI_MANIFEST_INVALID";
const SIGNED = {
  vin: "VMG-001",
  nonce: "0123456789abcdef0123456789abcdef",
  collected_at: "2026-11-20T12:00:00Z",
  ecus: {
    ECU_001: {
      hardware_id: "brake-controller:HW-1.0",
      version: "1.0.0",
      release_counter: 10_000_000_000,
      attacks_detected: "",
    },
    ECU_002: {
      hardware_id: "body-controller:HW-1.0",
      version: "1.1.0",
      image: { length: 4, sha256: "ab".repeat(32) },
      attacks_detected: "UPTANE_HARDWARE_MISMATCH",
    },
  },
};

function signerOf(algorithm: KeyAlgorithm) {
  return keySigner(algorithm, generateKeys(algorithm).privateKey);
}

describe.each<KeyAlgorithm>(["ecdsa-p256", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"])(
  "a manifest signed with %s",
  (algorithm) => {
    test("is verified with the key's public half, also after JSON", async () => {
      const signer = signerOf(algorithm);
      const manifest = await signVehicleManifest(SIGNED, signer);
      const received: unknown = JSON.parse(JSON.stringify(manifest));
      const signed = verifyVehicleManifest(received, signer.publicKey);
      expect(signed).toEqual({ _type: "vehicle-version-manifest", ...SIGNED });
    });

    test("is refused when it was altered, or signed by another key", async () => {
      const signer = signerOf(algorithm);
      const manifest = await signVehicleManifest(SIGNED, signer);
      const altered = structuredClone(manifest);
      altered.signed.vin = "VMG-002";
      const other = signerOf(algorithm);
      expect(refusal(() => verifyVehicleManifest(altered, signer.publicKey))).toBe(INVALID);
      expect(refusal(() => verifyVehicleManifest(manifest, other.publicKey))).toBe(INVALID);
      const [mine] = manifest.signatures;
      const [theirs] = (await signVehicleManifest(SIGNED, other)).signatures;
      const borrowed = { ...manifest, signatures: [{ ...mine, sig: theirs?.sig }] };
      expect(refusal(() => verifyVehicleManifest(borrowed, signer.publicKey))).toBe(INVALID);
    });
  },
);

describe("a manifest", () => {
  const signer = signerOf("ecdsa-p256");
  const cases: [string, (manifest: VehicleManifest) => unknown][] = [
    ["that is nothing", () => undefined],
    ["without signatures", (manifest) => ({ ...manifest, signatures: [] })],
    ["with one signature twice", (m) => ({ ...m, signatures: [...m.signatures, ...m.signatures] })],
    [
      "with too many signatures",
      ({ signed, signatures: [one] }) => ({
        signed,
        signatures: [
          one,
          ...Array.from({ length: 4 }, (_, i) => ({ keyid: `${i}`.repeat(64), sig: "00" })),
        ],
      }),
    ],
    ["of another type", (m) => ({ ...m, signed: { ...m.signed, _type: "targets" } })],
    ["with a short nonce", (m) => ({ ...m, signed: { ...m.signed, nonce: "00" } })],
    ["without ECUs", (m) => ({ ...m, signed: { ...m.signed, ecus: {} } })],
    ["with members that nobody knows", (m) => ({ ...m, signed: { ...m.signed, more: 1 } })],
    [
      "with an ECU's id that is none",
      (m) => ({ ...m, signed: { ...m.signed, ecus: { "a/b": m.signed.ecus["ECU_001"] } } }),
    ],
    [
      "with half a surrogate pair, which has no canonical form",
      (m) => ({ ...m, signed: { ...m.signed, collected_at: "\ud800" } }),
    ],
    [
      "of more ECUs than a VCI has",
      (m) => {
        const one = m.signed.ecus["ECU_001"];
        const ecus = Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`E${i}`, one]));
        return { ...m, signed: { ...m.signed, ecus } };
      },
    ],
  ];
  test.each(cases)("%s is refused", async (_, change) => {
    const manifest = await signVehicleManifest(SIGNED, signer);
    expect(refusal(() => verifyVehicleManifest(change(manifest), signer.publicKey))).toBe(INVALID);
  });

  test("is no proof under a key that signs nothing here", async () => {
    const manifest = await signVehicleManifest(SIGNED, signer);
    const { publicKey } = generateKeyPairSync("ed448");
    expect(refusal(() => verifyVehicleManifest(manifest, publicKey))).toBe(INVALID);
  });

  test("may carry signatures of others beside the vehicle's own", async () => {
    const manifest = await signVehicleManifest(SIGNED, signer);
    const others = (await signVehicleManifest(SIGNED, signerOf("ml-dsa-44"))).signatures;
    const both = { ...manifest, signatures: [...others, ...manifest.signatures] };
    expect(verifyVehicleManifest(both, signer.publicKey).vin).toBe("VMG-001");
  });
});

describe("a manifest beside its VCI", () => {
  const manifest = { _type: "vehicle-version-manifest" as const, ...SIGNED };
  const ecu1 = { ecu_id: "ECU_001", hardware_id: "brake-controller:HW-1.0", version: "1.0.0" };
  const ecu2 = { ecu_id: "ECU_002", hardware_id: "body-controller:HW-1.0", version: "1.1.0" };
  const outcome = (vci: Parameters<typeof checkReports>[1]) =>
    refusal(() => checkReports(manifest, vci));

  test("agrees with it in whatever order", () => {
    expect(outcome({ vin: "VMG-001", ecus: [ecu2, ecu1] })).toBe("accepted");
  });

  test.each([
    ["another vehicle", { vin: "VMG-002", ecus: [ecu1, ecu2] }],
    [
      "an ECU that it does not have",
      { vin: "VMG-001", ecus: [ecu1, ecu2, { ...ecu1, ecu_id: "ECU_003" }] },
    ],
    ["an ECU less", { vin: "VMG-001", ecus: [ecu1] }],
    ["an ECU twice in place of another", { vin: "VMG-001", ecus: [ecu1, ecu1] }],
    ["another version", { vin: "VMG-001", ecus: [{ ...ecu1, version: "0.9.0" }, ecu2] }],
    ["other hardware", { vin: "VMG-001", ecus: [ecu1, { ...ecu2, hardware_id: "body:HW-2" }] }],
  ])("is refused for %s", (_, vci) => {
    expect(outcome(vci)).toBe(INVALID);
  });
});
