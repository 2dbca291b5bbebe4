import { randomUUID } from "node:crypto";
import type { Rule } from "#server/diagnostic-policy/rule.ts";

let positions = 0;

/** A rule behind those made before, unless it says its position. */
export function ruleOf(rule: Pick<Rule, "effect"> & Partial<Rule>): Rule {
  return {
    rule_id: randomUUID(),
    position: ++positions,
    description: "of a test",
    changed_by: "first-admin",
    changed_at: "2026-01-01T00:00:00.000Z",
    ...rule,
  };
}
