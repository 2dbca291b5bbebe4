import { randomUUIDv7, X509Certificate } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { folderIssuer } from "#crypto/certificate-issuer.ts";
import { ensureDevelopmentPki, issueVehicleCertificate, loadVehicleIdentity } from "#crypto/pki.ts";
import { enrollByToken, issueToVehicle, type IssueDeps } from "#server/certificates/issue.ts";
import {
  insertEnrollmentToken,
  listCertificates,
  revokeCertificates,
} from "#server/certificates/queries.ts";
import { revoke } from "#server/certificates/revocation.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";
import { fingerprintOf, orderFor } from "./identity.ts";

const folder = temporaryFolder();
let own: OwnDatabase;
beforeAll(async () => {
  await ensureDevelopmentPki(folder.path, { hostNames: ["localhost"], algorithms: ["ecdsa-p256"] });
  own = await ownDatabase();
});
afterAll(async () => {
  await own.remove();
  folder.remove();
});

const issuer = folderIssuer(folder.path);
const deps = (change: Partial<IssueDeps> = {}): IssueDeps => ({
  db: own.db,
  issuer,
  algorithms: ["ecdsa-p256"],
  lifetimeMs: 3_600_000,
  log: silentLog,
  ...change,
});

/** A vehicle with a certificate; its open connection shows it. */
async function vehicle(vin: string) {
  await issueVehicleCertificate(folder.path, { vehicleId: vin });
  const { chain } = await loadVehicleIdentity(folder.path, vin);
  const renew = (by: IssueDeps = deps(), { csr } = orderFor(vin)) =>
    issueToVehicle(by, {
      csr,
      vin,
      shown: new X509Certificate(chain),
      by: "renewal",
    });
  const revoke = (choice: { vin: string } | { fingerprint: string }) =>
    own.db
      .transaction()
      .execute((tx) => revokeCertificates(tx, choice, { by: "test", reason: "key_compromise" }));
  const left = async () =>
    (await listCertificates(own.db, { limit: 9, vin, revoked: false })).length;
  return { vin, fingerprint: fingerprintOf(chain), renew, revoke, left };
}

describe("a certificate that another process has revoked", () => {
  it("is exchanged for no new one on a connection from before", async () => {
    const { vin, fingerprint, renew, revoke, left } = await vehicle("RACE-001");
    await renew();
    await revoke({ fingerprint });
    await expect(renew()).rejects.toMatchObject({ code: "CLIENT_CERTIFICATE_REJECTED" });
    expect(await left()).toBe(1);
    await revoke({ vin });
    await expect(renew()).rejects.toMatchObject({ code: "CLIENT_CERTIFICATE_REJECTED" });
    expect(await left()).toBe(0);
  });

  it("takes with it what is being issued under it", async () => {
    const { vin, renew, revoke, left } = await vehicle("RACE-002");
    await renew();
    const { started, goOn, slow } = slowIssuer();
    const renewing = renew(deps({ issuer: slow }));
    await started.promise;
    let ended = false;
    const revoking = revoke({ vin }).finally(() => (ended = true));
    // An embedded database has one connection, which the renewal holds.
    while (own.kind !== "embedded" && !ended && !(await somebodyWaits()));
    goOn.resolve();
    await Promise.all([renewing, revoking]);
    expect(await left()).toBe(0);
  });

  it("takes with it what is being issued to the vehicle by a token", async () => {
    const { vin, revoke, left } = await vehicle("RACE-005");
    const token_sha256 = Buffer.alloc(32, vin);
    const expires_at = new Date(Date.now() + 3_600_000);
    const token = { token_id: randomUUIDv7(), vin, token_sha256, created_by: "test", expires_at };
    await insertEnrollmentToken(own.db, token);
    const { started, goOn, slow } = slowIssuer();
    const order = { csr: orderFor(vin).csr, tokenSha256: token_sha256 };
    const enrolling = enrollByToken(deps({ issuer: slow }), order);
    await started.promise;
    let ended = false;
    const revoking = revoke({ vin }).finally(() => (ended = true));
    while (own.kind !== "embedded" && !ended && !(await somebodyWaits()));
    goOn.resolve();
    await Promise.all([enrolling, revoking]);
    expect(await left()).toBe(0);
  });

  it("takes with it what is being issued for its key, if that is compromised", async () => {
    const [one, other] = [await vehicle("RACE-003"), await vehicle("RACE-004")];
    const order = orderFor(one.vin);
    await one.renew(deps(), order);
    const [{ fingerprint } = { fingerprint: "" }] = await listCertificates(own.db, {
      limit: 1,
      vin: one.vin,
    });
    const { started, goOn, slow } = slowIssuer();
    const sameKey = orderFor(other.vin, "ecdsa-p256", order);
    const renewing = other.renew(deps({ issuer: slow }), sameKey);
    await started.promise;
    let ended = false;
    const revocations = { refresh: async () => {}, stop: () => {} };
    const revoking = revoke(
      { db: own.db, issuer, revocations, log: silentLog },
      { fingerprint, reason: "key_compromise" },
      "test",
    ).finally(() => (ended = true));
    while (own.kind !== "embedded" && !ended && !(await somebodyWaits()));
    goOn.resolve();
    await renewing;
    expect((await revoking).items.map(({ vin }) => vin).sort()).toEqual(["RACE-003", "RACE-004"]);
    await expect(other.renew(deps(), sameKey)).rejects.toMatchObject({
      code: "CSR_KEY_COMPROMISED",
    });
  });
});

/** An issuer that tells when it is asked, and answers when it is told to. */
function slowIssuer() {
  const started = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const slow: IssueDeps["issuer"] = {
    ...issuer,
    async issue(order) {
      started.resolve();
      await goOn.promise;
      return issuer.issue(order);
    },
  };
  return { started, goOn, slow };
}

async function somebodyWaits(): Promise<boolean> {
  const { rows } = await sql`
    select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
  `.execute(own.db);
  return rows.length > 0;
}
