import { expect, it } from "vitest";
import { generateKeys } from "#crypto/key-algorithm.ts";
import { keySigner } from "#crypto/signing-keys.ts";
import { evidenceOf } from "#server/vehicles/evidence.ts";
import { sampleVci } from "#test/helpers/fleet-data.ts";
import { manifestOf, newNonce } from "#test/server/trust/vehicle-client.ts";

const vin = "VMG-001";

it("a signed VCI whose connection is gone is neither taken nor refused: it comes again", async () => {
  const { publicKey, privateKey } = generateKeys("ecdsa-p256");
  const vci = sampleVci();
  const signer = keySigner("ecdsa-p256", privateKey);
  const signed = { ...vci, manifest: await manifestOf({ vin, nonce: newNonce(), vci }, signer) };
  expect(evidenceOf(vin, signed, () => publicKey)).toMatchObject({ evidence: "signed" });
  expect(() => evidenceOf(vin, signed, () => undefined)).toThrow("the connection ended");
  expect(evidenceOf(vin, vci, () => undefined)).toMatchObject({ evidence: "unsigned" });
});
