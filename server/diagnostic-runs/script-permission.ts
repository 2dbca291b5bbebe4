import { ProblemError } from "#protocol/api/problem.ts";
import type { AuditLog } from "#server/audit/audit-log.ts";
import type { Db } from "#server/database/connection.ts";
import { listApprovals } from "#server/diagnostic-policy/approval-queries.ts";
import { permission } from "#server/diagnostic-sessions/permission.ts";
import { targetEcu, type TargetEcu } from "#server/diagnostic-sessions/target.ts";
import type { Operator } from "#server/http/access.ts";
import { operatorById } from "#server/operators/queries.ts";
import { requestsOf } from "./script.ts";
import type { ScriptRow } from "./script-queries.ts";

/**
 * Holds a script that has waited, or some of its requests, to what its operator may do now.
 * @throws ProblemError OPERATOR_REVOKED, DIAGNOSTIC_DENIED, VCI_MISSING, ECU_UNKNOWN
 */
export async function recheckScript(
  deps: { db: Db; audit: AuditLog },
  { script_id, script, vin, ecu_id, token_id, operator: name }: ScriptRow,
  requests: Uint8Array[] = requestsOf(script),
): Promise<{ operator: Operator; ecu: TargetEcu }> {
  const operator = await operatorById(deps.db, token_id);
  if (operator === undefined) throw new ProblemError("OPERATOR_REVOKED", name);
  const ecu = await targetEcu(deps.db, vin, ecu_id);
  const verdict = await permission(deps, { operator, vin, ecus: [ecu], requests });
  if (verdict.kind === "approval" && !(await isApproved(deps.db, script_id))) {
    throw new ProblemError("DIAGNOSTIC_DENIED", verdict.reason);
  }
  return { operator, ecu };
}

async function isApproved(db: Db, subject: string): Promise<boolean> {
  return (await listApprovals(db, { subject, state: "approved", limit: 1 })).length > 0;
}
