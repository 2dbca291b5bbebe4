import { expect, it } from "vitest";
import type { Negotiated } from "#crypto/negotiated.ts";
import { findProfile } from "#crypto/profiles.ts";
import { createAdmission, REMEMBERED_MS } from "#server/runtime/admission.ts";
import { silentLog } from "#test/server/own-database.ts";

const negotiated: Negotiated = {
  protocol: "TLSv1.3",
  cipher: "TLS_AES_256_GCM_SHA384",
  groupCode: 0x11ec,
  group: "X25519MLKEM768",
  peerKeyType: "ecdsa-p256",
  profile: findProfile(2),
  resumed: false,
};

it("a revoked certificate is refused until it has expired, and then forgotten", () => {
  let now = Date.now();
  const admission = createAdmission(silentLog, () => now);
  const refused = (fingerprint: string) =>
    admission.refusal({ peer: { kind: "vehicle", vehicleId: "VMG-1", fingerprint }, negotiated })
      ?.code;
  const ends = now + 60_000;
  const [short, long] = [
    { fingerprint: "short", not_after: new Date(ends) },
    { fingerprint: "long", not_after: new Date(ends + 10 * REMEMBERED_MS) },
  ];
  admission.revoke([short, long]);
  now = ends + REMEMBERED_MS;
  admission.revoke([{ ...long, fingerprint: "another" }]);
  expect(["short", "long", "another"].map(refused)).toEqual(Array(3).fill("CERT_REVOKED"));
  now++;
  admission.revoke([{ ...long, fingerprint: "third" }]);
  expect(refused("short")).toBeUndefined();
  expect(["long", "another", "third"].map(refused)).toEqual(Array(3).fill("CERT_REVOKED"));
});
