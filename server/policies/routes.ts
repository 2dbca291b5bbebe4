import Type from "typebox";
import { Uuid, VehicleId } from "#protocol/api/identifier.ts";
import {
  EffectivePolicy,
  GroupPolicy,
  GroupPolicyContent,
  PolicyChange,
} from "#protocol/api/policy.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { emit } from "#server/events/outbox.ts";
import { callingOperator } from "#server/http/access.ts";
import { NoContent } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { parseFilter } from "#server/targeting/filter.ts";
import { targetVehicle } from "#server/targeting/vehicles.ts";
import { lockVehicle } from "#server/vehicles/queries.ts";
import { checkSettings, type Policy } from "./policy.ts";
import type { PolicyBook } from "./policy-book.ts";
import {
  groupPolicyById,
  insertGroupPolicy,
  listGroupPolicies,
  removePolicy,
  replaceGroupPolicy,
  saveVehiclePolicy,
} from "./queries.ts";

export interface PolicyDeps {
  db: Db;
  policies: PolicyBook;
}

const tags = ["policies"];
const config = {
  access: { by: "operator", roles: ["release_manager", "campaign_manager"] },
} as const;
const reading = { access: { by: "operator" } } as const;

/** All filters may be tried at a check-in. */
const MAX_POLICIES = 200;

/** Policies of groups, and vehicles' own. */
export function updatePolicyRoutes(deps: PolicyDeps) {
  return async (http: Http): Promise<void> => {
    groups(http, deps);
    groupChanges(http, deps);
    ofVehicle(http, deps);
  };
}

const PolicyId = Type.Object({ policy_id: Uuid });

function groups(http: Http, deps: PolicyDeps): void {
  const { db } = deps;
  http.get(
    "/policies",
    {
      config: reading,
      schema: {
        tags,
        summary: "The policies of groups, in the order in which they are tried",
        response: { 200: Type.Object({ items: Type.Array(GroupPolicy) }) },
      },
    },
    async () => ({ items: await listGroupPolicies(db) }),
  );

  http.get(
    "/policies/:policy_id",
    {
      config: reading,
      schema: {
        tags,
        summary: "The policy of a group",
        params: PolicyId,
        response: { 200: GroupPolicy },
      },
    },
    async ({ params }) => {
      const policy = await groupPolicyById(db, params.policy_id);
      if (policy === undefined) throw new ProblemError("POLICY_UNKNOWN", params.policy_id);
      return policy;
    },
  );

  http.post(
    "/policies",
    {
      config,
      schema: {
        tags,
        summary: "Sets under which conditions a group of vehicles updates",
        body: GroupPolicyContent,
        response: { 201: GroupPolicy },
      },
    },
    async (request, reply) => {
      const { body } = request;
      checkContent(deps, body);
      const by = callingOperator(request).name;
      const policy = await changing(deps, async (tx) => {
        const made = await insertGroupPolicy(tx, body, { by, most: MAX_POLICIES });
        if (made === undefined) throw new ProblemError("POLICIES_FULL", `${MAX_POLICIES}`);
        await tellOf(tx, made.policy_id, { after: body });
        return made;
      });
      return reply.code(201).send(policy);
    },
  );
}

function groupChanges(http: Http, deps: PolicyDeps): void {
  http.put(
    "/policies/:policy_id",
    {
      config,
      schema: {
        tags,
        summary: "Replaces the policy of a group",
        params: PolicyId,
        body: GroupPolicyContent,
        response: { 200: GroupPolicy },
      },
    },
    async (request) => {
      const { body, params } = request;
      checkContent(deps, body);
      const by = callingOperator(request).name;
      return changing(deps, async (tx) => {
        const policy = await replaceGroupPolicy(tx, params.policy_id, body, by);
        if (policy === undefined) throw new ProblemError("POLICY_UNKNOWN", params.policy_id);
        await tellOf(tx, policy.policy_id, { after: body });
        return policy;
      });
    },
  );

  http.delete(
    "/policies/:policy_id",
    {
      config,
      schema: {
        tags,
        summary: "Deletes the policy of a group",
        response: { 204: NoContent },
        params: PolicyId,
      },
    },
    async (request, reply) => {
      const { policy_id } = request.params;
      const by = callingOperator(request).name;
      await changing(deps, async (tx) => {
        if ((await removePolicy(tx, { policy_id }, by)) === undefined) {
          throw new ProblemError("POLICY_UNKNOWN", policy_id);
        }
        await tellOf(tx, policy_id, { after: null });
      });
      return reply.code(204).send();
    },
  );
}

function ofVehicle(http: Http, deps: PolicyDeps): void {
  const { db, policies } = deps;
  const params = Type.Object({ vin: VehicleId });

  /** @throws ProblemError VEHICLE_UNKNOWN */
  async function effective(vin: string): Promise<EffectivePolicy> {
    const vehicle = await targetVehicle(db, vin);
    if (vehicle === undefined) throw new ProblemError("VEHICLE_UNKNOWN", vin);
    return asAnswer(policies.policyFor(vehicle));
  }

  http.get(
    "/vehicles/:vin/policy",
    {
      config: reading,
      schema: {
        tags,
        summary: "What holds for the vehicle, and where that comes from",
        params,
        response: { 200: EffectivePolicy },
      },
    },
    async (request) => effective(request.params.vin),
  );

  http.put(
    "/vehicles/:vin/policy",
    {
      config,
      schema: {
        tags,
        summary: "Sets a policy of the vehicle's own, before those of groups",
        params,
        body: PolicyChange,
        response: { 200: EffectivePolicy },
      },
    },
    async (request) => {
      const { body } = request;
      const { vin } = request.params;
      checkSettings(policies.defaults, body);
      const by = callingOperator(request).name;
      await changing(deps, async (tx) => {
        if (!(await lockVehicle(tx, vin))) throw new ProblemError("VEHICLE_UNKNOWN", vin);
        const { policy_id } = await saveVehiclePolicy(tx, vin, body, by);
        await tellOf(tx, policy_id, { after: body }, vin);
      });
      return effective(vin);
    },
  );

  http.delete(
    "/vehicles/:vin/policy",
    {
      config,
      schema: {
        tags,
        summary: "Takes a vehicle's own policy away",
        response: { 204: NoContent },
        params,
      },
    },
    async (request, reply) => {
      const { vin } = request.params;
      const by = callingOperator(request).name;
      await changing(deps, async (tx) => {
        if (!(await lockVehicle(tx, vin))) throw new ProblemError("VEHICLE_UNKNOWN", vin);
        const policyId = await removePolicy(tx, { vin }, by);
        if (policyId === undefined) throw new ProblemError("POLICY_UNKNOWN", vin);
        await tellOf(tx, policyId, { after: null }, vin);
      });
      return reply.code(204).send();
    },
  );
}

/** @throws FilterError, ProblemError POLICY_INVALID */
function checkContent({ policies }: PolicyDeps, { filter, settings }: GroupPolicyContent): void {
  parseFilter(filter);
  checkSettings(policies.defaults, settings);
}

/** Makes a change that this gateway knows of when it is answered. */
async function changing<Result>(
  { db, policies }: PolicyDeps,
  work: (tx: Tx) => Promise<Result>,
): Promise<Result> {
  const result = await db.transaction().execute(work);
  await policies.refresh();
  return result;
}

async function tellOf(
  tx: Tx,
  policyId: string,
  data: Record<string, unknown>,
  vin?: string,
): Promise<void> {
  await emit(tx, { kind: "policy.changed", vin, subject: policyId, data });
}

function asAnswer({ source, policy_id, name, ...settings }: Policy): EffectivePolicy {
  return { source, policy_id, name, settings };
}
