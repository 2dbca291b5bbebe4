import { randomBytes, randomUUIDv7 } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  insertScan,
  insertUpdateScan,
  scanById,
  scansOverdue,
} from "#server/diagnostic-runs/scan-queries.ts";
import {
  endScripts,
  insertScript,
  insertStep,
  scriptById,
  scriptsOverdue,
  stepsOf,
} from "#server/diagnostic-runs/script-queries.ts";
import { endSessions, insertSession, sessionById } from "#server/diagnostic-sessions/queries.ts";
import { trim } from "#server/maintenance/queries.ts";
import { insertToken } from "#server/operators/queries.ts";
import { registerVehicle } from "#server/vehicles/queries.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";

let own: OwnDatabase;
let token_id: string;
const vin = "VMG-OLD";

beforeAll(async () => {
  own = await ownDatabase();
  await registerVehicle(own.db, { vin });
  token_id = await token(null);
});
afterAll(() => own.remove());

async function token(expires_at: Date | null): Promise<string> {
  const id = randomUUIDv7();
  const secret = { token_sha256: randomBytes(32), expires_at };
  await insertToken(own.db, { token_id: id, name: "ann", role: "diagnostician", ...secret });
  return id;
}

const before = (ms: number) => new Date(Date.now() - ms);
const script = async (more: {
  status?: "awaiting_approval" | "queued";
  expires_at?: Date;
  token_id?: string;
}) => {
  const script_id = randomUUIDv7();
  await insertScript(own.db, {
    script_id,
    vin,
    ecu_id: "ECU_001",
    session_id: null,
    script: { steps: [{ request: "3E00" }] },
    status: "queued",
    operator: "ann",
    token_id,
    reason: null,
    max_s: 60,
    expires_at: before(-60_000),
    ...more,
  });
  return script_id;
};
const running = (script_id: string) =>
  own.db
    .updateTable("diagnostic_script")
    .set({ status: "running" })
    .where("script_id", "=", script_id)
    .execute();

describe("runs that have taken too long", () => {
  it("are found; one that a vehicle carries out has time for its cleanup", async () => {
    const over = before(1000);
    const unsent = await script({ expires_at: over });
    const unapproved = await script({ status: "awaiting_approval", expires_at: over });
    const cleaning = await script({ expires_at: over });
    const lost = await script({ expires_at: before(120_000) });
    const orphan = await script({ token_id: await token(over) });
    await script({});
    await running(cleaning);
    await running(lost);
    const overdue = await scriptsOverdue(own.db, 60);
    expect(Object.fromEntries(overdue.map((each) => [each.script_id, each.end]))).toEqual({
      [unsent]: "expired",
      [unapproved]: "expired",
      [lost]: "expired",
      [orphan]: "cancelled",
    });
    await endScripts(own.db, {}, { status: "cancelled", by: "gateway" });
    expect(await scriptsOverdue(own.db, 60)).toEqual([]);
  });

  it("are found among scans", async () => {
    const scan_id = randomUUIDv7();
    await insertScan(own.db, { scan_id, vin, requested_by: "ann" });
    expect(await scansOverdue(own.db, 600)).toEqual([]);
    await own.db
      .updateTable("diagnostic_scan")
      .set({ created_at: before(700_000) })
      .where("scan_id", "=", scan_id)
      .execute();
    expect(await scansOverdue(own.db, 600)).toEqual([{ scan_id }]);
  });
});

describe("what is kept for its time", () => {
  it("is trimmed with all that belongs to it once it has ended, and not before", async () => {
    const { db } = own;
    const far = before(-1_000_000);
    const [open, ended] = [await script({}), await script({})];
    await endScripts(db, { script_ids: [ended] }, { status: "cancelled", by: "gateway" });
    const step = { seq: 1, path: "steps/0", request: null, response: null, at: new Date() };
    const nothing = { interlock: null, error: null, timing: null };
    await insertStep(db, { script_id: ended, ...step, ...nothing });
    expect(await trim(db, "diagnostic_script", before(60_000), 100)).toBe(0);
    await trim(db, "diagnostic_script", far, 100);
    expect(await scriptById(db, ended)).toBeUndefined();
    expect(await stepsOf(db, ended, { after: 0, limit: 10 })).toEqual([]);
    expect(await scriptById(db, open)).toBeDefined();

    const session = async (ecu_id: string) => {
      const session_id = randomUUIDv7();
      await insertSession(db, {
        session_id,
        vin,
        ecu_id,
        uds_session: 3,
        status: "opening",
        operator: "ann",
        role: "diagnostician",
        token_id,
        reason: null,
        max_s: 60,
        takes_over: null,
        expires_at: far,
      });
      return session_id;
    };
    const [live, over] = [await session("ECU_001"), await session("ECU_002")];
    await endSessions(db, { session_id: over }, { reason: "closed", by: "operator:ann" });
    await trim(db, "diagnostic_session", far, 100);
    expect(await sessionById(db, live)).toBeDefined();
    expect(await sessionById(db, over)).toBeUndefined();

    const update_id = randomUUIDv7();
    const scan = { scan_id: randomUUIDv7(), vin, update_id, ecus: [], taken_at: new Date() };
    // Of an update that is not this vehicle's nothing is kept in the first place.
    expect(await insertUpdateScan(db, { ...scan, phase: "before_update" })).toBe("unknown");
    const [requested] = await scansOverdue(db, 600);
    await trim(db, "diagnostic_scan", far, 100);
    expect(await scanById(db, requested?.scan_id ?? "")).toBeDefined();
  });
});
