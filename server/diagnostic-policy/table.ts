import type { ColumnType, Generated } from "kysely";
import type { DiagnosticLevel } from "#protocol/uds/level.ts";
import type { ApprovalState, SubjectKind } from "./approval.ts";
import type { Effect, RuleContent } from "./rule.ts";

declare module "#server/database/tables.ts" {
  interface Tables {
    diagnostic_rule: DiagnosticRuleTable;
    diagnostic_approval: DiagnosticApprovalTable;
  }
}

/** Whom and what a rule is for. */
export type RuleScope = Omit<RuleContent, "position" | "effect" | "description">;

export interface DiagnosticRuleTable {
  rule_id: string;
  position: number;
  effect: Effect;
  description: string;
  scope: ColumnType<RuleScope, string, string>;
  changed_by: string;
  changed_at: Generated<Date>;
}

export interface DiagnosticApprovalTable {
  approval_id: string;
  subject_kind: SubjectKind;
  subject: string;
  vin: string;
  /** Name of the operator. */
  requested_by: string;
  /** What the policy says. */
  reason: string;
  summary: string;
  /** What whoever decides must reach. */
  level: DiagnosticLevel;
  state: Generated<ApprovalState>;
  created_at: Generated<Date>;
  expires_at: Date;
  decided_by: ColumnType<string | null, undefined, string>;
  decided_at: ColumnType<Date | null, undefined, Date>;
  comment: ColumnType<string | null, undefined, string | null>;
  /** Those who wait for the decision have taken it up. */
  taken_up: Generated<boolean>;
}
