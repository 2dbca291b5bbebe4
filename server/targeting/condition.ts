import { sql, type RawBuilder } from "kysely";
import { likePattern } from "./glob.ts";
import { profileClasses, type FieldName, type Operator } from "./field.ts";
import type { Comparison, Predicate } from "./predicate.ts";

type Condition = RawBuilder<boolean>;

/**
 * A predicate as a condition on a row of `vehicle`, true or false and never null, that holds where
 * the predicate does. Undefined for one that looks at ECUs: those are read from inventories, of
 * which there are few.
 */
export function conditionOf(predicate: Predicate): Condition | undefined {
  switch (predicate.kind) {
    case "all":
      return sql`true`;
    case "and":
    case "or": {
      const terms = predicate.terms.map(conditionOf).filter((term) => term !== undefined);
      if (terms.length < predicate.terms.length) return undefined;
      return sql`(${sql.join(terms, predicate.kind === "and" ? sql` and ` : sql` or `)})`;
    }
    case "not": {
      const term = conditionOf(predicate.term);
      return term && sql`(not ${term})`;
    }
    case "known":
      return sql`(${column(predicate.field)} is ${predicate.known ? sql`not null` : sql`null`})`;
    case "ecu":
      return undefined;
    case "compare":
      return comparisonCondition(predicate);
  }
}

/** The parts of a predicate that all have to hold: what the database can tell, and the rest. */
export function splitCondition(predicate: Predicate): { where: Condition; rest: Predicate[] } {
  const terms = predicate.kind === "and" ? predicate.terms : [predicate];
  const conditions = terms.map(conditionOf);
  const where = conditions.filter((condition) => condition !== undefined);
  return {
    where: where.length === 0 ? sql`true` : sql`(${sql.join(where, sql` and `)})`,
    rest: terms.filter((_, index) => conditions[index] === undefined),
  };
}

function comparisonCondition({ subject, operator, values }: Comparison): Condition | undefined {
  if (subject.of === "ecu") return undefined;
  const { field } = subject;
  const [value = ""] = values;
  switch (field) {
    case "tag":
      return tagCondition(operator, values);
    case "profile":
      return profileCondition(operator, values);
    case "registered":
      // As precise as a Date.
      return sql`(date_trunc('milliseconds', vehicle.registered_at)
        ${sql.raw(operator)} ${new Date(value).toISOString()}::timestamptz)`;
    case "model":
    case "region":
    case "vin":
    case "time_zone":
    case "channel":
      return sql`coalesce(${textCondition(column(field), operator, values)}, false)`;
  }
}

function textCondition(
  text: RawBuilder<unknown>,
  operator: Operator,
  values: readonly string[],
): Condition {
  if (operator === "~") return sql`${text} like ${likePattern(values[0] ?? "")}`;
  if (operator === "!~") return sql`${text} not like ${likePattern(values[0] ?? "")}`;
  return operator === "==" || operator === "in"
    ? sql`${text} = any (${values}::text[])`
    : sql`${text} <> all (${values}::text[])`;
}

function tagCondition(operator: Operator, values: readonly string[]): Condition {
  if (operator === "==" || operator === "in") return sql`(vehicle.tags && ${values}::text[])`;
  if (operator === "!=" || operator === "not in")
    return sql`(not vehicle.tags && ${values}::text[])`;
  const fits = textCondition(sql`tag`, "~", values);
  const some = sql`exists (select from unnest(vehicle.tags) as each (tag) where ${fits})`;
  return operator === "~" ? sql`(${some})` : sql`(not ${some})`;
}

function profileCondition(operator: Operator, values: readonly string[]): Condition {
  const ranges = values.map(
    (value) => profileClasses.get(value) ?? { first: Number(value), last: Number(value) },
  );
  const profile = column("profile");
  const within = sql.join(
    ranges.map(({ first, last }) => sql`${profile} between ${first} and ${last}`),
    sql` or `,
  );
  const [{ first, last } = { first: 0, last: 0 }] = ranges;
  const conditions: Partial<Record<Operator, Condition>> = {
    "==": sql`(${within})`,
    in: sql`(${within})`,
    "!=": sql`not (${within})`,
    "not in": sql`not (${within})`,
    "<": sql`${profile} < ${first}`,
    "<=": sql`${profile} <= ${last}`,
    ">": sql`${profile} > ${last}`,
    ">=": sql`${profile} >= ${first}`,
  };
  return sql`coalesce(${conditions[operator] ?? sql`false`}, false)`;
}

function column(field: Exclude<FieldName, "tag" | "registered">): RawBuilder<unknown> {
  return sql.ref(`vehicle.${field}`);
}
