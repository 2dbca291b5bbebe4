import { sql, type Selectable } from "kysely";
import type { DiagnosticLevel } from "#protocol/uds/level.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import type { Approval, ApprovalState, SubjectKind } from "./approval.ts";
import type { DiagnosticApprovalTable } from "./table.ts";

export async function insertApproval(
  tx: Tx,
  approval: {
    approval_id: string;
    subject_kind: SubjectKind;
    subject: string;
    vin: string;
    requested_by: string;
    reason: string;
    summary: string;
    level: DiagnosticLevel;
    expires_at: Date;
  },
): Promise<void> {
  await tx.insertInto("diagnostic_approval").values(approval).execute();
}

/** An approval, which nobody else decides until the transaction ends. */
export async function lockApproval(tx: Tx, approvalId: string): Promise<Approval | undefined> {
  const row = await tx
    .selectFrom("diagnostic_approval")
    .selectAll()
    .where("approval_id", "=", approvalId)
    .forUpdate()
    .executeTakeFirst();
  return row && asApproval(row);
}

export async function decideApproval(
  tx: Tx,
  approvalId: string,
  decision: { state: "approved" | "rejected"; decided_by: string; comment: string | null },
): Promise<Approval> {
  const row = await tx
    .updateTable("diagnostic_approval")
    .set({ ...decision, decided_at: sql<Date>`now()` })
    .where("approval_id", "=", approvalId)
    .returningAll()
    .executeTakeFirstOrThrow();
  return asApproval(row);
}

/** Ends what nobody decided in time. @returns what has ended */
export async function expireApprovals(db: Db, now: Date): Promise<Approval[]> {
  const rows = await db
    .updateTable("diagnostic_approval")
    .set({ state: "expired", decided_by: "gateway", decided_at: now })
    .where("state", "=", "pending")
    .where("expires_at", "<=", now)
    .returningAll()
    .execute();
  return rows.map(asApproval);
}

export async function noteTakenUp(db: Db, approvalId: string): Promise<void> {
  await db
    .updateTable("diagnostic_approval")
    .set({ taken_up: true })
    .where("approval_id", "=", approvalId)
    .execute();
}

/** Decisions from before `before` that those who wait for them have not taken up. */
export async function leftOver(db: Db, before: Date, limit: number): Promise<Approval[]> {
  const rows = await db
    .selectFrom("diagnostic_approval")
    .selectAll()
    .where("taken_up", "=", false)
    .where("decided_at", "<", before)
    .orderBy("expires_at")
    .limit(limit)
    .execute();
  return rows.map(asApproval);
}

/** Approvals, newest first, from behind `cursor` on. */
export async function listApprovals(
  db: Db,
  filter: {
    limit: number;
    cursor?: string | undefined;
    vin?: string | undefined;
    state?: ApprovalState | undefined;
    subject?: string | undefined;
  },
): Promise<Approval[]> {
  let query = db
    .selectFrom("diagnostic_approval")
    .selectAll()
    .orderBy("approval_id", "desc")
    .limit(filter.limit);
  if (filter.cursor !== undefined) query = query.where("approval_id", "<", filter.cursor);
  if (filter.vin !== undefined) query = query.where("vin", "=", filter.vin);
  if (filter.state !== undefined) query = query.where("state", "=", filter.state);
  if (filter.subject !== undefined) query = query.where("subject", "=", filter.subject);
  return (await query.execute()).map(asApproval);
}

function asApproval({ taken_up: _, ...row }: Selectable<DiagnosticApprovalTable>): Approval {
  return {
    ...row,
    created_at: row.created_at.toISOString(),
    expires_at: row.expires_at.toISOString(),
    decided_at: row.decided_at?.toISOString() ?? null,
  };
}
