import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listEntries } from "#server/audit/queries.ts";
import { listApprovals } from "#server/diagnostic-policy/approval-queries.ts";
import {
  createApprovals,
  requestApproval,
  type ApprovalAsk,
  type ApprovalDecision,
} from "#server/diagnostic-policy/approvals.ts";
import type { Operator } from "#server/http/access.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";

const HOUR = 3_600_000;
let own: OwnDatabase;
beforeAll(async () => {
  own = await ownDatabase();
});
afterAll(() => own.remove());

const operator = (name: string, rest: Partial<Operator> = {}): Operator => ({
  name,
  role: "diagnostician",
  token_id: randomUUID(),
  diagnostic_level: "control",
  ...rest,
});

/** Something that waits for a second operator, and a gateway that hears of decisions. */
async function waiting(ask: Partial<ApprovalAsk> = {}) {
  const subject = randomUUID();
  const approval_id = await requestApproval(own.db, {
    subject_kind: "request",
    subject,
    vin: "VMG-001",
    requested_by: "alice",
    reason: "rule 1",
    summary: "31 01 FF00 to ECU_001",
    expires_at: new Date(Date.now() + HOUR),
    ...ask,
  });
  const decisions: ApprovalDecision[] = [];
  const approvals = createApprovals({ db: own.db, log: silentLog });
  approvals.onDecided(async (decision) => {
    if (decision.subject === subject) decisions.push(decision);
  });
  const actions = async () =>
    (await listEntries(own.db, { subject, limit: 10 })).map(({ actor, action }) => [actor, action]);
  const state = async () => (await listApprovals(own.db, { subject, limit: 1 }))[0]?.state;
  return { approval_id, subject, approvals, decisions, actions, state };
}

const yes = { approved: true, comment: undefined };

describe("an approval", () => {
  it("by another operator is stored, entered in the log and told of", async () => {
    const { approval_id, subject, approvals, decisions, actions } = await waiting();
    const decided = await approvals.decide(approval_id, operator("bob"), {
      approved: true,
      comment: "seen the car",
    });
    expect(decided).toMatchObject({
      state: "approved",
      decided_by: "bob",
      comment: "seen the car",
    });
    expect(decisions).toEqual([
      { subject_kind: "request", subject, approved: true, decided_by: "bob" },
    ]);
    expect(await actions()).toEqual([
      ["operator:bob", "approval.approved"],
      ["operator:alice", "approval.requested"],
    ]);
  });

  it("may be refused", async () => {
    const { approval_id, approvals, decisions, actions } = await waiting();
    await approvals.decide(approval_id, operator("bob"), { approved: false, comment: undefined });
    expect(decisions).toMatchObject([{ approved: false, decided_by: "bob" }]);
    expect((await actions())[0]).toEqual(["operator:bob", "approval.rejected"]);
  });

  it.each(["alice", "Alice", " alice", "ａｌｉｃｅ"])(
    "is never of who asked, by whichever token: %j",
    async (name) => {
      const { approval_id, approvals, decisions, state } = await waiting();
      const decision = approvals.decide(approval_id, operator(name, { role: "admin" }), yes);
      await expect(decision).rejects.toMatchObject({ code: "APPROVAL_OWN" });
      expect([await state(), decisions]).toEqual(["pending", []]);
    },
  );

  it("needs the level that is asked for, the highest where nothing is said", async () => {
    const writer = operator("bob", { diagnostic_level: "write" });
    const control = await waiting();
    await expect(control.approvals.decide(control.approval_id, writer, yes)).rejects.toMatchObject({
      code: "APPROVAL_LEVEL_REQUIRED",
    });
    const write = await waiting({ level: "write" });
    await write.approvals.decide(write.approval_id, writer, yes);
    expect(write.decisions).toHaveLength(1);
  });

  it("is given once", async () => {
    const { approval_id, approvals, decisions } = await waiting();
    const both = await Promise.allSettled([
      approvals.decide(approval_id, operator("bob"), yes),
      approvals.decide(approval_id, operator("carol"), { approved: false, comment: undefined }),
    ]);
    expect(both.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(both).toContainEqual({
      status: "rejected",
      reason: expect.objectContaining({ code: "APPROVAL_DECIDED" }) as unknown,
    });
    expect(decisions).toHaveLength(1);
  });

  it("that does not exist can't be given", async () => {
    const { approvals } = await waiting();
    const decision = approvals.decide(randomUUID(), operator("bob"), yes);
    await expect(decision).rejects.toMatchObject({ code: "APPROVAL_UNKNOWN" });
  });

  it("ends with its time: nobody gives it then, and maintenance tells of it once", async () => {
    const late = new Date(Date.now() - 1);
    const { approval_id, approvals, decisions, actions, subject } = await waiting({
      expires_at: late,
    });
    const decision = approvals.decide(approval_id, operator("bob"), yes);
    await expect(decision).rejects.toMatchObject({ code: "APPROVAL_DECIDED" });
    expect(await approvals.maintain(new Date())).toBe(1);
    expect(await approvals.maintain(new Date(Date.now() + 2 * 60_000))).toBe(0);
    expect(decisions).toEqual([
      { subject_kind: "request", subject, approved: false, decided_by: "gateway" },
    ]);
    expect((await actions())[0]).toEqual(["gateway", "approval.expired"]);
  });

  it("that was not taken up is told of again by any gateway", async () => {
    const { approval_id, approvals, decisions, subject, state } = await waiting();
    let broken = true;
    approvals.onDecided(async () => {
      if (broken) throw new Error("the database is gone");
    });
    await approvals.decide(approval_id, operator("bob"), yes);
    expect(await state()).toBe("approved");
    await approvals.maintain(new Date());
    expect(decisions).toHaveLength(1);

    broken = false;
    const later = new Date(Date.now() + 2 * 60_000);
    await approvals.maintain(later);
    await approvals.maintain(later);
    expect(decisions.filter((decision) => decision.subject === subject)).toHaveLength(2);
  });
});

describe("asking for approval", () => {
  it("is undone with the transaction that it is part of", async () => {
    const subject = randomUUID();
    const undone = own.db.transaction().execute(async (tx) => {
      await requestApproval(tx, {
        subject_kind: "script",
        subject,
        vin: "VMG-001",
        requested_by: "alice",
        reason: "rule 1",
        summary: "a script",
        expires_at: new Date(),
      });
      throw new Error("undone");
    });
    await expect(undone).rejects.toThrow("undone");
    expect(await listApprovals(own.db, { subject, limit: 1 })).toEqual([]);
    expect(await listEntries(own.db, { subject, limit: 1 })).toEqual([]);
  });
});
