import { diagnosticLevel, type DiagnosticLevel } from "#protocol/uds/level.ts";
import { operatorLevels, type Operator } from "#server/http/access.ts";
import { partText, requestParts, type Identifier, type RequestPart } from "./request-part.ts";
import { effects, readRange, type Effect, type RequestPattern, type Rule } from "./rule.ts";

/** Who asks which ECUs of which vehicle for what. */
export interface Ask {
  operator: Pick<Operator, "name" | "role" | "diagnostic_level">;
  vin: string;
  ecus: readonly { ecu_id: string; ecu_type: string }[];
  /** UDS requests. */
  requests: readonly Uint8Array[];
}

export interface Verdict {
  effect: Effect;
  /** For people: what decided. */
  reason: string;
  /** undefined: the operator's level. */
  rule: Rule | undefined;
  /** The level that the most far-reaching request needs. */
  level: DiagnosticLevel;
}

/**
 * Whether an operator may send these requests to these ECUs; what is most restricted of it decides.
 * For each part of a request and each ECU the first rule that fits counts, and where none does the
 * operator's level. A rule that restricts what the part might be, or might bring by another way,
 * counts as well; one that allows must fit for certain. The level `none` is past help by any rule.
 * @param rules in their order
 */
export function decide(rules: readonly Rule[], ask: Ask): Verdict {
  const { operator, vin, ecus, requests } = ask;
  const level = highest(requests.map(diagnosticLevel));
  if (operator.diagnostic_level === "none") {
    return {
      effect: "deny",
      reason: `${operator.name} has the level none`,
      rule: undefined,
      level,
    };
  }
  if (ecus.length === 0 || requests.length === 0) {
    return { effect: "deny", reason: "no ECU is asked for anything", rule: undefined, level };
  }
  const theirs = rules.filter((rule) => concerns(rule, ask)).map(compile);
  let strictest: Decision | undefined;
  const seen = new Set<string>();
  for (const ecu of ecus) {
    const applicable = theirs.filter(({ rule }) => isFor(rule, ecu));
    // ECUs with the same rules need no second look.
    const key = applicable.map(({ rule }) => rule.rule_id).join();
    if (seen.has(key)) continue;
    seen.add(key);
    for (const request of requests) {
      const decision = decideRequest(applicable, operator, request, ecu.ecu_id);
      strictest = strictest ? stricter(strictest, decision) : decision;
      if (strictest.effect === "deny") return { ...asVerdict(strictest, vin), level };
    }
  }
  return { ...asVerdict(strictest as Decision, vin), level };
}

/** Whether who has one level may do what needs the other. */
export function reaches(has: Operator["diagnostic_level"], needed: DiagnosticLevel): boolean {
  return operatorLevels.indexOf(has) >= operatorLevels.indexOf(needed);
}

interface Decision {
  effect: Effect;
  what: string;
  ecu_id: string;
  by: { rule: Rule; certain: boolean } | { needed: DiagnosticLevel; has: string };
}

interface CompiledRule {
  rule: Rule;
  /** undefined: every request. */
  patterns: CompiledPattern[] | undefined;
}

type Range = { from: number; to: number } | undefined;
type CompiledPattern = Record<keyof RequestPattern, Range>;

function decideRequest(
  rules: readonly CompiledRule[],
  operator: Ask["operator"],
  request: Uint8Array,
  ecu_id: string,
): Decision {
  const needed = diagnosticLevel(request);
  const has = operator.diagnostic_level;
  const decisions = requestParts(request).map((part) => {
    const what = partText(part);
    const effect = reaches(has, needed) ? "allow" : "deny";
    return decidePart(rules, part, { effect, what, ecu_id, by: { needed, has } });
  });
  return decisions.reduce(stricter);
}

function decidePart(
  rules: readonly CompiledRule[],
  part: RequestPart,
  otherwise: Decision,
): Decision {
  let strictest: Decision | undefined;
  for (const { rule, patterns } of rules) {
    const fit = patterns === undefined ? "yes" : best(patterns.map((it) => fits(it, part)));
    const { effect } = rule;
    const decision = { ...otherwise, effect, by: { rule, certain: fit === "yes" } };
    if (fit === "yes") return strictest ? stricter(strictest, decision) : decision;
    if (fit === "maybe" && effect !== "allow") {
      strictest = strictest ? stricter(strictest, decision) : decision;
    }
  }
  return strictest ? stricter(strictest, otherwise) : otherwise;
}

/** The stricter of two; of equal ones the first. */
function stricter(one: Decision, other: Decision): Decision {
  return effects.indexOf(other.effect) > effects.indexOf(one.effect) ? other : one;
}

/** Whether a part is what a pattern says; `maybe` where it can't be told. */
type Fit = "no" | "maybe" | "yes";
const fitness: readonly Fit[] = ["no", "maybe", "yes"];

function best(all: readonly Fit[]): Fit {
  return fitness.findLast((fit) => all.includes(fit)) ?? "no";
}

function fits(pattern: CompiledPattern, part: RequestPart): Fit {
  const each = [
    within(pattern.service, part.service),
    within(pattern.sub_function, part.subFunction),
    within(pattern.did, part.did),
    within(pattern.rid, part.rid),
  ];
  const fit = fitness.find((it) => each.includes(it)) ?? "no";
  if (fit !== "no" || part.sameAs === undefined) return fit;
  return fits(pattern, part.sameAs) === "no" ? "no" : "maybe";
}

function within(range: Range, identifier: Identifier | undefined): Fit {
  if (range === undefined) return "yes";
  if (identifier === undefined) return "no";
  const { is, open } = identifier;
  if (is !== undefined && is >= range.from && is <= range.to) return "yes";
  return open ? "maybe" : "no";
}

function compile(rule: Rule): CompiledRule {
  const patterns = rule.requests?.map(({ service, sub_function, did, rid }) => ({
    service: service === undefined ? undefined : readRange(service),
    sub_function: sub_function === undefined ? undefined : readRange(sub_function),
    did: did === undefined ? undefined : readRange(did),
    rid: rid === undefined ? undefined : readRange(rid),
  }));
  return { rule, patterns };
}

function concerns({ roles, operators, vehicles }: Rule, { operator, vin }: Ask): boolean {
  const isTheirs = (pattern: string) =>
    pattern.endsWith("*") ? vin.startsWith(pattern.slice(0, -1)) : vin === pattern;
  return (
    (roles?.includes(operator.role) ?? true) &&
    (operators?.includes(operator.name) ?? true) &&
    (vehicles?.some(isTheirs) ?? true)
  );
}

function isFor({ ecu_ids, ecu_types }: Rule, ecu: Ask["ecus"][number]): boolean {
  return (ecu_ids?.includes(ecu.ecu_id) ?? true) && (ecu_types?.includes(ecu.ecu_type) ?? true);
}

const doing: Record<Effect, string> = {
  allow: "allows",
  approve: "wants a second operator's approval for",
  deny: "denies",
};

function asVerdict({ effect, what, ecu_id, by }: Decision, vin: string): Omit<Verdict, "level"> {
  const target = `${what} to ${ecu_id} of ${vin}`;
  if ("needed" in by) {
    return {
      effect,
      reason: `${target} needs the level ${by.needed}, the operator has ${by.has}`,
      rule: undefined,
    };
  }
  const { rule, certain } = by;
  const name = `rule ${rule.position} "${rule.description}" (${rule.rule_id})`;
  const reason = certain
    ? `${name} ${doing[effect]} ${target}`
    : `${target} may come to what ${name} ${doing[effect]}`;
  return { effect, reason, rule };
}

function highest(levels: readonly DiagnosticLevel[]): DiagnosticLevel {
  return (["control", "write"] as const).find((level) => levels.includes(level)) ?? "read";
}
