import { randomUUIDv7 } from "node:crypto";
import { ProblemError } from "#protocol/api/problem.ts";
import type { DiagnosticLevel } from "#protocol/uds/level.ts";
import { appendEntry, type NewAuditEntry } from "#server/audit/audit-log.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import type { Operator } from "#server/http/access.ts";
import type { Log } from "#server/runtime/log.ts";
import { demandDecider, type Approval, type SubjectKind } from "./approval.ts";
import {
  decideApproval,
  expireApprovals,
  insertApproval,
  leftOver,
  lockApproval,
  noteTakenUp,
} from "./approval-queries.ts";

export interface ApprovalAsk {
  subject_kind: SubjectKind;
  /** Id of the request, session or script that waits. */
  subject: string;
  vin: string;
  /** Name of the operator. */
  requested_by: string;
  /** Of the authorization. */
  reason: string;
  /** For whoever decides: what is to be done. */
  summary: string;
  /** Of the authorization; the highest where it is left out. */
  level?: DiagnosticLevel;
  expires_at: Date;
}

/**
 * Asks for a second operator's approval. In a transaction of the caller's it is the last step: the
 * audit log is held until that ends.
 * @returns the approval's id
 */
export async function requestApproval(db: Db, ask: ApprovalAsk): Promise<string> {
  const approval = { level: "control" as const, ...ask, approval_id: randomUUIDv7() };
  const store = async (tx: Tx) => {
    await insertApproval(tx, approval);
    await appendEntry(tx, entryOf(approval, `operator:${ask.requested_by}`, "approval.requested"));
  };
  // A transaction within one is none of PostgreSQL's.
  await (db.isTransaction ? store(db as Tx) : db.transaction().execute(store));
  return approval.approval_id;
}

/** What has become of a subject that waited. */
export interface ApprovalDecision {
  subject_kind: SubjectKind;
  subject: string;
  approved: boolean;
  /** Name of the operator; `gateway` when the time was over. */
  decided_by: string;
}

export interface Approvals {
  /**
   * Calls the listener with every decision, once it is committed: at least once, from any gateway,
   * until it has succeeded. Each takes its own kind of subject and leaves the others.
   */
  onDecided(listener: (decision: ApprovalDecision) => Promise<void>): void;
  /** @throws ProblemError APPROVAL_UNKNOWN and those of {@link demandDecider} */
  decide(
    approvalId: string,
    operator: Operator,
    decision: { approved: boolean; comment: string | undefined },
  ): Promise<Approval>;
  /** Ends what nobody decided in time, and hands out what a gateway left over. @returns how many ended */
  maintain(now: Date): Promise<number>;
}

/** A gateway that has decided tells its listeners within so long, or has stopped before. */
const LEFT_OVER_MS = 60_000;
const LEFT_OVER_AT_ONCE = 100;

export function createApprovals({ db, log }: { db: Db; log: Log }): Approvals {
  const listeners: ((decision: ApprovalDecision) => Promise<void>)[] = [];

  /** The decision stands whatever becomes of this: what fails is tried again by maintenance. */
  async function announce(approval: Approval): Promise<void> {
    const { approval_id, subject_kind, subject, state, decided_by } = approval;
    const approved = state === "approved";
    const decision = { subject_kind, subject, approved, decided_by: decided_by ?? "gateway" };
    try {
      for (const listener of listeners) await listener(decision);
      await noteTakenUp(db, approval_id);
    } catch (error) {
      log.error({ err: error, approval_id }, "A decision was not taken up; trying again later");
    }
  }

  return {
    onDecided: (listener) => void listeners.push(listener),
    async decide(approvalId, operator, { approved, comment = null }) {
      const decided = await db.transaction().execute(async (tx) => {
        const approval = await lockApproval(tx, approvalId);
        if (approval === undefined) throw new ProblemError("APPROVAL_UNKNOWN", approvalId);
        demandDecider(approval, operator, new Date());
        const state = approved ? "approved" : "rejected";
        const stored = await decideApproval(tx, approvalId, {
          state,
          decided_by: operator.name,
          comment,
        });
        const entry = entryOf(stored, `operator:${operator.name}`, `approval.${state}`);
        const detail = { ...entry.detail, comment, token_id: operator.token_id };
        await appendEntry(tx, { ...entry, detail });
        return stored;
      });
      await announce(decided);
      return decided;
    },
    async maintain(now) {
      const expired = await db.transaction().execute(async (tx) => {
        const ended = await expireApprovals(tx, now);
        for (const each of ended) {
          await appendEntry(tx, entryOf(each, "gateway", "approval.expired"));
        }
        return ended;
      });
      const before = new Date(now.getTime() - LEFT_OVER_MS);
      for (const each of expired) await announce(each);
      for (const each of await leftOver(db, before, LEFT_OVER_AT_ONCE)) await announce(each);
      return expired.length;
    },
  };
}

function entryOf(
  approval: Pick<Approval, "approval_id" | "subject_kind" | "subject" | "vin" | "requested_by"> & {
    reason: string;
    summary: string;
    level: DiagnosticLevel;
  },
  actor: string,
  action: string,
): NewAuditEntry {
  const { approval_id, subject_kind, subject, vin, requested_by, reason, summary, level } =
    approval;
  const detail = { approval_id, subject_kind, requested_by, reason, summary, level };
  return { actor, action, vin, subject, detail };
}
