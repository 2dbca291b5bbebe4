import { sql, type Selectable } from "kysely";
import type { Db, Tx } from "#server/database/connection.ts";
import type { Rule, RuleContent } from "./rule.ts";
import type { DiagnosticRuleTable } from "./table.ts";

/** All rules, in the order in which they are tried. */
export async function listRules(db: Db): Promise<Rule[]> {
  const rows = await db
    .selectFrom("diagnostic_rule")
    .selectAll()
    .orderBy("position")
    .orderBy("rule_id")
    .execute();
  return rows.map(asRule);
}

/** Adds a rule, unless there are `most` already. @returns undefined then */
export async function insertRule(
  tx: Tx,
  {
    rule_id,
    changed_by,
    most,
    ...content
  }: RuleContent & {
    rule_id: string;
    changed_by: string;
    most: number;
  },
): Promise<Rule | undefined> {
  // Nobody adds another one between counting and adding.
  await sql`lock table diagnostic_rule in share row exclusive mode`.execute(tx);
  const { count } = await tx
    .selectFrom("diagnostic_rule")
    .select((select) => select.fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  if (count >= most) return undefined;
  const row = await tx
    .insertInto("diagnostic_rule")
    .values({ ...asRow(content), rule_id, changed_by })
    .returningAll()
    .executeTakeFirstOrThrow();
  return asRule(row);
}

/** Replaces a rule. @returns as it was and is; undefined when there is none */
export async function replaceRule(
  tx: Tx,
  ruleId: string,
  { changed_by, ...content }: RuleContent & { changed_by: string },
): Promise<{ before: Rule; after: Rule } | undefined> {
  const before = await tx
    .selectFrom("diagnostic_rule")
    .selectAll()
    .where("rule_id", "=", ruleId)
    .forUpdate()
    .executeTakeFirst();
  if (before === undefined) return undefined;
  const after = await tx
    .updateTable("diagnostic_rule")
    .set({ ...asRow(content), changed_by, changed_at: sql<Date>`now()` })
    .where("rule_id", "=", ruleId)
    .returningAll()
    .executeTakeFirstOrThrow();
  return { before: asRule(before), after: asRule(after) };
}

/** @returns the rule that is gone; undefined when there was none */
export async function deleteRule(tx: Tx, ruleId: string): Promise<Rule | undefined> {
  const row = await tx
    .deleteFrom("diagnostic_rule")
    .where("rule_id", "=", ruleId)
    .returningAll()
    .executeTakeFirst();
  return row && asRule(row);
}

function asRow({ position, effect, description, ...scope }: RuleContent) {
  return { position, effect, description, scope: JSON.stringify(scope) };
}

function asRule({ scope, changed_at, ...row }: Selectable<DiagnosticRuleTable>): Rule {
  return { ...row, ...scope, changed_at: changed_at.toISOString() };
}
