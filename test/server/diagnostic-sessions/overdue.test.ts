import { randomBytes, randomUUIDv7 } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  endSessions,
  insertSession,
  sessionLocks,
  sessionsOverdue,
} from "#server/diagnostic-sessions/queries.ts";
import { insertToken } from "#server/operators/queries.ts";
import { registerVehicle } from "#server/vehicles/queries.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";

let own: OwnDatabase;
beforeAll(async () => {
  own = await ownDatabase();
});
afterAll(() => own.remove());

async function token(expires_at: Date | null): Promise<string> {
  const token_id = randomUUIDv7();
  await insertToken(own.db, {
    token_id,
    name: "ann",
    role: "diagnostician",
    token_sha256: randomBytes(32),
    expires_at,
  });
  return token_id;
}

const soon = () => new Date(Date.now() + 600_000);
const past = () => new Date(Date.now() - 1000);

async function session(
  vin: string,
  more: { expires_at?: Date; status?: "awaiting_approval" | "opening"; token_id: string },
): Promise<string> {
  await registerVehicle(own.db, { vin });
  const session_id = randomUUIDv7();
  await insertSession(own.db, {
    session_id,
    vin,
    ecu_id: "ECU_001",
    uds_session: 3,
    status: "opening",
    operator: "ann",
    role: "diagnostician",
    reason: null,
    max_s: 600,
    takes_over: null,
    expires_at: soon(),
    ...more,
  });
  return session_id;
}

describe("a revocation that another gateway has carried out", () => {
  it("does not end what was begun after it", async () => {
    const session_id = await session("VMG-AFTER", { token_id: await token(null) });
    const ending = { reason: "revoked", by: "operator:ann" } as const;
    const choice = { vin: "VMG-AFTER", operator: "ann" };
    expect(await endSessions(own.db, { ...choice, until: past() }, ending)).toEqual([]);
    expect(await endSessions(own.db, { ...choice, operator: "bob" }, ending)).toEqual([]);
    const ended = await endSessions(own.db, { ...choice, until: soon() }, ending);
    expect(ended.map((each) => each.session_id)).toEqual([session_id]);
  });
});

describe("sessions that no gateway keeps", () => {
  it("are found: over, unanswered, without their token, without their vehicle; and no others", async () => {
    const { db } = own;
    const token_id = await token(null);
    const over = await session("VMG-OVER", { token_id, expires_at: past() });
    const unapproved = await session("VMG-WAIT", {
      token_id,
      status: "awaiting_approval",
      expires_at: past(),
    });
    const unanswered = await session("VMG-MUTE", { token_id });
    const orphan = await session("VMG-ORPHAN", { token_id: await token(past()) });
    const gone = await session("VMG-GONE", { token_id });
    await session("VMG-FRESH", { token_id });
    const kept = await session("VMG-KEPT", { token_id });
    await db
      .updateTable("diagnostic_session")
      .set({ changed_at: past() })
      .where("session_id", "in", [unanswered])
      .execute();
    await db
      .updateTable("diagnostic_session")
      .set({ status: "open" })
      .where("session_id", "in", [gone, kept])
      .execute();
    await db
      .updateTable("vehicle")
      .set({ status: "offline" })
      .where("vin", "=", "VMG-GONE")
      .execute();
    const overdue = await sessionsOverdue(db, 0.5);
    expect(Object.fromEntries(overdue.map((each) => [each.session_id, each.reason]))).toEqual({
      [over]: "time_over",
      [unapproved]: "time_over",
      [unanswered]: "refused",
      [orphan]: "operator_revoked",
      [gone]: "lease_expired",
    });
  });

  it("keep their ECU until they have ended, and it is found by ECU", async () => {
    const { db } = own;
    const token_id = await token(null);
    const session_id = await session("VMG-LOCK", { token_id });
    const lock = { session_id, ecu_id: "ECU_001", operator: "ann" };
    expect(await sessionLocks(db, "VMG-LOCK")).toEqual([lock]);
    expect(await sessionLocks(db, "VMG-LOCK", ["ECU_001", "ECU_002"])).toEqual([lock]);
    expect(await sessionLocks(db, "VMG-LOCK", ["ECU_002"])).toEqual([]);
    expect(await sessionLocks(db, "VMG-LOCK", [])).toEqual([]);
    await sql`update diagnostic_session set status = 'ended', ended_at = now(), end_reason = 'closed'
      where session_id = ${session_id}`.execute(db);
    expect(await sessionLocks(db, "VMG-LOCK")).toEqual([]);
    // Waiting for approval keeps nobody out.
    await session("VMG-LOCK", { token_id, status: "awaiting_approval" });
    await session("VMG-LOCK", { token_id, status: "awaiting_approval" });
    expect(await sessionLocks(db, "VMG-LOCK")).toEqual([]);
  });
});
