import { ProblemError } from "#protocol/api/problem.ts";
import type { DiagnosticLevel } from "#protocol/uds/level.ts";
import type { Db } from "#server/database/connection.ts";
import type { Operator } from "#server/http/access.ts";
import { decide, type Ask } from "./policy.ts";
import { listRules } from "./queries.ts";

/** `approval`: when a second operator who reaches `level` says so, see `requestApproval`. */
export type Authorization =
  | { kind: "allowed" }
  | { kind: "approval"; reason: string; level: DiagnosticLevel };

/** Why something was denied; what the audit log wants to know of it. */
export class DiagnosticDenied extends ProblemError {
  /** null: the operator's level. */
  readonly rule_id: string | null;

  constructor(reason: string, ruleId: string | null) {
    super("DIAGNOSTIC_DENIED", reason);
    this.name = "DiagnosticDenied";
    this.rule_id = ruleId;
  }
}

/**
 * Holds what an operator asks for to the rules as they are now, see {@link decide}. The caller
 * enters a refusal in the audit log.
 * @throws DiagnosticDenied, a ProblemError DIAGNOSTIC_DENIED whose message says by what
 */
export async function authorize(db: Db, ask: Ask & { operator: Operator }): Promise<Authorization> {
  const { effect, reason, rule, level } = decide(await listRules(db), ask);
  switch (effect) {
    case "allow":
      return { kind: "allowed" };
    case "approve":
      return { kind: "approval", reason, level };
    case "deny":
      throw new DiagnosticDenied(reason, rule?.rule_id ?? null);
  }
}
