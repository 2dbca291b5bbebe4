import { randomUUIDv7 } from "node:crypto";
import Type from "typebox";
import { EcuId, Uuid, VehicleId } from "#protocol/api/identifier.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { fromHex } from "#protocol/bytes/hex.ts";
import { diagnosticLevels } from "#protocol/uds/level.ts";
import { appendEntry } from "#server/audit/audit-log.ts";
import type { Db } from "#server/database/connection.ts";
import { callingOperator, operatorLevels, roles, type Operator } from "#server/http/access.ts";
import { NoContent } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { demandEcus } from "#server/vehicles/ecus.ts";
import { decide } from "./policy.ts";
import { deleteRule, insertRule, listRules, replaceRule } from "./queries.ts";
import { checkRule, effects, Rule, RuleContent } from "./rule.ts";

const tags = ["diagnostics"];
const config = { access: { by: "operator", roles: ["admin"] }, audit: "own" } as const;
const RuleId = Type.Object({ rule_id: Uuid });

/** All of them are looked at for every request. */
const MAX_RULES = 200;

/** The rules of who may do what; only an admin handles them, and every change is in the audit log. */
export function policyRoutes({ db }: { db: Db }) {
  return async (http: Http): Promise<void> => {
    rules(http, db);
    changes(http, db);
    check(http, db);
  };
}

function rules(http: Http, db: Db): void {
  http.get(
    "/diagnostics/policy/rules",
    {
      config,
      schema: {
        tags,
        summary: "The rules in the order in which they are tried",
        response: { 200: Type.Object({ items: Type.Array(Rule) }) },
      },
    },
    async () => ({ items: await listRules(db) }),
  );

  http.post(
    "/diagnostics/policy/rules",
    {
      config,
      schema: { tags, summary: "Adds a rule", body: RuleContent, response: { 201: Rule } },
    },
    async (request, reply) => {
      const { body } = request;
      checkRule(body);
      const operator = callingOperator(request);
      const rule = await db.transaction().execute(async (tx) => {
        const made = { ...body, rule_id: randomUUIDv7(), changed_by: operator.name };
        const after = await insertRule(tx, { ...made, most: MAX_RULES });
        if (after === undefined) throw new ProblemError("DIAGNOSTIC_RULES_FULL", `${MAX_RULES}`);
        await appendEntry(tx, changed(operator, after.rule_id, { before: null, after }));
        return after;
      });
      return reply.code(201).send(rule);
    },
  );
}

function changes(http: Http, db: Db): void {
  http.put(
    "/diagnostics/policy/rules/:rule_id",
    {
      config,
      schema: {
        tags,
        summary: "Replaces a rule",
        params: RuleId,
        body: RuleContent,
        response: { 200: Rule },
      },
    },
    async (request) => {
      const { body, params } = request;
      checkRule(body);
      const operator = callingOperator(request);
      return db.transaction().execute(async (tx) => {
        const content = { ...body, changed_by: operator.name };
        const change = await replaceRule(tx, params.rule_id, content);
        if (change === undefined) throw unknown(params.rule_id);
        await appendEntry(tx, changed(operator, params.rule_id, change));
        return change.after;
      });
    },
  );

  http.delete(
    "/diagnostics/policy/rules/:rule_id",
    {
      config,
      schema: { tags, summary: "Deletes a rule", response: { 204: NoContent }, params: RuleId },
    },
    async (request, reply) => {
      const { rule_id } = request.params;
      const operator = callingOperator(request);
      await db.transaction().execute(async (tx) => {
        const before = await deleteRule(tx, rule_id);
        if (before === undefined) throw unknown(rule_id);
        await appendEntry(tx, changed(operator, rule_id, { before, after: null }));
      });
      return reply.code(204).send();
    },
  );
}

function changed(
  operator: Operator,
  rule_id: string,
  change: { before: Rule | null; after: Rule | null },
) {
  return {
    actor: `operator:${operator.name}`,
    action: "policy.changed",
    subject: rule_id,
    detail: { ...change, token_id: operator.token_id },
  };
}

function unknown(ruleId: string): ProblemError {
  return new ProblemError("DIAGNOSTIC_RULE_UNKNOWN", ruleId);
}

const Check = Type.Object(
  {
    operator: Type.Object(
      {
        name: Type.String({ minLength: 1, maxLength: 64 }),
        role: Type.Enum(roles),
        diagnostic_level: Type.Enum(operatorLevels),
      },
      { additionalProperties: false },
    ),
    vin: VehicleId,
    ecu_ids: Type.Array(EcuId, { minItems: 1, maxItems: 256 }),
    request: Type.String({
      minLength: 2,
      maxLength: 3 * 4095,
      description: "UDS request, hex",
      examples: ["22 F190"],
    }),
  },
  {
    additionalProperties: false,
    examples: [
      {
        operator: { name: "alice", role: "diagnostician", diagnostic_level: "read" },
        vin: "VMG-001",
        ecu_ids: ["ECU_001"],
        request: "22 F190",
      },
    ],
  },
);

const Explanation = Type.Object({
  effect: Type.Enum(effects),
  reason: Type.String(),
  level: Type.Enum(diagnosticLevels, { description: "What the request needs where no rule fits" }),
  rule: Type.Union([Rule, Type.Null()], { description: "null: the level decides" }),
});

function check(http: Http, db: Db): void {
  http.post(
    "/diagnostics/policy/check",
    {
      config: { access: config.access, reads: true },
      schema: {
        tags,
        summary: "What the rules say to a request, and which of them; nothing is sent",
        body: Check,
        response: { 200: Explanation },
      },
    },
    async ({ body: { operator, vin, ecu_ids, request } }) => {
      const bytes = fromHex(request);
      if (bytes === undefined)
        throw new ProblemError("DIAGNOSTIC_INVALID", "not whole bytes of hex");
      const ecus = await ecusOf(db, vin, ecu_ids);
      const { rule = null, ...verdict } = decide(await listRules(db), {
        operator,
        vin,
        ecus,
        requests: [bytes],
      });
      return { ...verdict, rule };
    },
  );
}

/** @throws ProblemError VEHICLE_UNKNOWN, VCI_MISSING, ECU_UNKNOWN */
async function ecusOf(db: Db, vin: string, ecuIds: readonly string[]) {
  const { ecus } = await demandEcus(db, vin);
  return ecuIds.map((id) => {
    const ecu = ecus.find(({ ecu_id }) => ecu_id === id);
    if (ecu === undefined) throw new ProblemError("ECU_UNKNOWN", id);
    return ecu;
  });
}
