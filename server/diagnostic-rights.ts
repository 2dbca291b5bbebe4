import { createAuditLog, type AuditLog } from "#server/audit/audit-log.ts";
import { auditRoutes } from "#server/audit/routes.ts";
import type { Db } from "#server/database/connection.ts";
import { approvalRoutes } from "#server/diagnostic-policy/approval-routes.ts";
import { createApprovals, type Approvals } from "#server/diagnostic-policy/approvals.ts";
import { policyRoutes } from "#server/diagnostic-policy/routes.ts";
import type { Log } from "#server/runtime/log.ts";

/** What everything that reaches into a vehicle asks and tells; one of each in a gateway. */
export interface DiagnosticRights {
  audit: AuditLog;
  /** Decisions reach the listeners of this one alone. */
  approvals: Approvals;
}

export function composeRights({ db, log }: { db: Db; log: Log }) {
  const audit = createAuditLog({ db });
  const approvals = createApprovals({ db, log });
  const rights: DiagnosticRights = { audit, approvals };
  const routes = [auditRoutes({ db }), policyRoutes({ db }), approvalRoutes({ db, approvals })];
  return { rights, rightsRoutes: routes };
}
