import { randomBytes, randomUUIDv7 } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  insertEnrollmentToken,
  recordCertificate,
  useEnrollmentToken,
} from "#server/certificates/queries.ts";
import { maintain, type MaintenanceDeps } from "#server/maintenance/maintenance.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";
import { maintenanceDeps } from "./maintenance-deps.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

let own: OwnDatabase;
let deps: MaintenanceDeps;
beforeAll(async () => {
  own = await ownDatabase();
  deps = await maintenanceDeps(own);
});
afterAll(() => own.remove());
beforeEach(async () => {
  await sql`delete from certificate`.execute(own.db);
  await sql`delete from enrollment_token`.execute(own.db);
});

const ended = Date.now() + HOUR;
/** A round as it would go so long after everything here has ended. */
const trimmedAfter = async (ms: number, change: Partial<MaintenanceDeps["config"]> = {}) =>
  (await maintain({ ...deps, config: { ...deps.config, ...change } }, new Date(ended + ms)))
    .rowsTrimmed;

async function certificate(revoked: boolean): Promise<void> {
  const fingerprint = randomBytes(32).toString("hex");
  await recordCertificate(own.db, {
    fingerprint,
    vin: "TRIM-001",
    serial: "01",
    algorithm: "ecdsa-p256",
    key_sha256: fingerprint,
    not_before: new Date(ended - DAY),
    not_after: new Date(ended),
    issuer: null,
    issued_by: "test",
  });
  if (!revoked) return;
  await sql`update certificate set revoked_at = now() where fingerprint = ${fingerprint}`.execute(
    own.db,
  );
}

describe("maintenance", () => {
  it.each([true, false])(
    "drops a certificate a year after its end, revoked %s",
    async (revoked) => {
      await certificate(revoked);
      expect(await trimmedAfter(365 * DAY)).toBe(0);
      expect(await trimmedAfter(365 * DAY + 1)).toBe(1);
    },
  );

  it("keeps it for one more revocation list, however short the retention is", async () => {
    await certificate(true);
    const retention = { ...deps.config.retention, certificates_days: 0.001 };
    const certificates = { ...deps.config.certificates, crl_h: 48 };
    expect(await trimmedAfter(48 * HOUR, { retention, certificates })).toBe(0);
    expect(await trimmedAfter(48 * HOUR + 1, { retention, certificates })).toBe(1);
  });

  it("drops an enrolment token a year after its use, or its end", async () => {
    const token = (byte: number) => ({
      token_id: randomUUIDv7(),
      vin: "TRIM-001",
      token_sha256: Buffer.alloc(32, byte),
      created_by: "test",
      expires_at: new Date(ended),
    });
    await insertEnrollmentToken(own.db, token(1));
    await insertEnrollmentToken(own.db, token(2));
    await useEnrollmentToken(own.db, Buffer.alloc(32, 2));
    expect(await trimmedAfter(364 * DAY)).toBe(0);
    expect(await trimmedAfter(365 * DAY)).toBe(1);
    expect(await trimmedAfter(365 * DAY + 1)).toBe(1);
  });
});
