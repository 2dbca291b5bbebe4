import { randomBytes } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { folderIssuer } from "#crypto/certificate-issuer.ts";
import { ensureDevelopmentPki } from "#crypto/pki.ts";
import { recordCertificate, revokeCertificates } from "#server/certificates/queries.ts";
import {
  createRevocationLists,
  type RevocationLists,
} from "#server/certificates/revocation-list.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const folder = temporaryFolder();
const issuer = folderIssuer(folder.path);
let own: OwnDatabase;
let now: number;
let lists: RevocationLists;

beforeAll(async () => {
  await ensureDevelopmentPki(folder.path, { algorithms: ["ecdsa-p256"] });
  own = await ownDatabase();
});
afterAll(async () => {
  await own.remove();
  folder.remove();
});
beforeEach(async () => {
  await sql`delete from revocation_list`.execute(own.db);
  await sql`delete from certificate`.execute(own.db);
  now = 0;
  lists = createRevocationLists({ db: own.db, issuer, hours: 24, now: () => now });
});

const current = () => lists.current("ecdsa-p256");

/** A revoked certificate that ends so far from now. @returns its serial number, as a list holds it */
async function revoked(endsMs: number): Promise<Buffer> {
  const serial = `01${randomBytes(15).toString("hex")}`;
  const fingerprint = randomBytes(32).toString("hex");
  await recordCertificate(own.db, {
    fingerprint,
    vin: "LIST-001",
    serial,
    algorithm: "ecdsa-p256",
    key_sha256: fingerprint,
    not_before: new Date(Date.now() - 48 * HOUR),
    not_after: new Date(Date.now() + endsMs),
    issuer: await issuer.authority("ecdsa-p256"),
    issued_by: "test",
  });
  await own.db
    .transaction()
    .execute((tx) => revokeCertificates(tx, { fingerprint }, { by: "test", reason: "superseded" }));
  return Buffer.from(serial, "hex");
}

/** As if the list had been made so long ago, and were to be used for so long from now. */
async function made(agoMs: number, leftMs: number): Promise<void> {
  await own.db
    .updateTable("revocation_list")
    .set({ this_update: new Date(Date.now() - agoMs), next_update: new Date(Date.now() + leftMs) })
    .execute();
  lists.changed();
}

const number = async () =>
  (await own.db.selectFrom("revocation_list").select("number").executeTakeFirst())?.number;

describe("the current revocation list", () => {
  it("comes from memory for a minute, and until something is revoked", async () => {
    const first = await current();
    await sql`delete from revocation_list`.execute(own.db);
    now = MINUTE - 1;
    expect(await current()).toBe(first);
    expect(await number()).toBeUndefined();
    now = MINUTE;
    expect(await current()).not.toBe(first);
    expect(await number()).toBe(1);
    const serial = await revoked(HOUR);
    lists.changed();
    expect((await current()).includes(serial)).toBe(true);
    expect(await number()).toBe(2);
  });

  it("is read once for all who ask at once, and again after a failure", async () => {
    let asked = 0;
    let fails = true;
    const counted = {
      ...issuer,
      authority: (algorithm: "ecdsa-p256") => {
        asked++;
        return fails ? Promise.reject(new Error("once")) : issuer.authority(algorithm);
      },
    };
    lists = createRevocationLists({ db: own.db, issuer: counted, hours: 24, now: () => now });
    const failed = await Promise.allSettled([current(), current()]);
    expect(failed.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    fails = false;
    await Promise.all([current(), current()]);
    await current();
    expect(asked).toBe(2);
  });

  it("waits for no lock as long as it is not due", async (context) => {
    context.skip(own.kind === "embedded", "an embedded database has one connection");
    const first = await current();
    lists.changed();
    await own.db.transaction().execute(async (tx) => {
      await tx.selectFrom("revocation_list").select("number").forUpdate().execute();
      expect(await current()).toEqual(first);
    });
  });

  it("is made anew when half of its time is over, or all of it", async () => {
    await current();
    await made(12 * HOUR - MINUTE, HOUR);
    await current();
    expect(await number()).toBe(1);
    await made(12 * HOUR, HOUR);
    await current();
    expect(await number()).toBe(2);
    await made(HOUR, 0);
    await current();
    expect(await number()).toBe(3);
  });

  it("names a certificate until one was made after its end, as RFC 5280 §3.3 wants", async () => {
    const serial = await revoked(HOUR);
    expect((await current()).includes(serial)).toBe(true);
    await sql`update certificate set not_after = now() - interval '1 hour'`.execute(own.db);
    await made(13 * HOUR, 11 * HOUR);
    expect((await current()).includes(serial)).toBe(true);
    expect(await number()).toBe(2);
    lists.changed();
    await current();
    expect(await number()).toBe(2);
    await made(MINUTE, 0);
    expect((await current()).includes(serial)).toBe(false);
  });

  it("does not begin with what had expired before there was one", async () => {
    const serial = await revoked(-HOUR);
    expect((await current()).includes(serial)).toBe(false);
  });

  it("is made anew for a revocation that was seen later than its time", async () => {
    await current();
    const serial = await revoked(HOUR);
    await sql`update certificate set revoked_at = now() - interval '5 minutes'`.execute(own.db);
    now = MINUTE;
    expect((await current()).includes(serial)).toBe(true);
  });
});
