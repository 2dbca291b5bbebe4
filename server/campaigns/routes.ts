import Type from "typebox";
import {
  Campaign as CampaignAnswer,
  CampaignContent,
  CampaignPatch,
  CampaignQuery,
  CampaignSummary,
  CampaignVehicle,
  CampaignVehicleStatus,
} from "#protocol/api/campaign.ts";
import { Uuid, VehicleId } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Db } from "#server/database/connection.ts";
import { callingOperator } from "#server/http/access.ts";
import { NoContent } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import type { CampaignDeps } from "./actions.ts";
import { actionRoutes } from "./action-routes.ts";
import { answerOf, summaryOf, vehicleAnswerOf } from "./answer.ts";
import type { Campaign } from "./campaign.ts";
import { cloneCampaign, createDraft, deleteDraft, patchDraft } from "./drafts.ts";
import { campaignById, listCampaigns, listCampaignVehicles } from "./queries.ts";

const tags = ["campaigns"];
const CampaignId = Type.Object({ campaign_id: Uuid });
const readable = { access: { by: "operator" } } as const;
const writable = {
  access: { by: "operator", roles: ["campaign_manager"] },
  audit: "own",
} as const;

/** Campaigns: drafts, their course, and the vehicles in them. */
export function campaignRoutes(deps: CampaignDeps) {
  return async (http: Http): Promise<void> => {
    reading(http, deps.db);
    vehicles(http, deps.db);
    drafts(http, deps.db);
    actionRoutes(http, deps);
  };
}

function reading(http: Http, db: Db): void {
  http.get(
    "/campaigns",
    {
      config: readable,
      schema: {
        tags,
        summary: "Campaigns, newest first",
        querystring: Type.Object({ ...PageQuery(Uuid).properties, ...CampaignQuery.properties }),
        response: { 200: Page(CampaignSummary) },
      },
    },
    async ({ query }) =>
      page(
        query.limit,
        (await listCampaigns(db, { ...query, limit: query.limit + 1 })).map(summaryOf),
        (row) => row.campaign_id,
      ),
  );

  http.get(
    "/campaigns/:campaign_id",
    {
      config: readable,
      schema: {
        tags,
        summary: "A campaign",
        params: CampaignId,
        response: { 200: CampaignAnswer },
      },
    },
    async ({ params }) => answerOf(await existing(db, params.campaign_id)),
  );
}

function vehicles(http: Http, db: Db): void {
  http.get(
    "/campaigns/:campaign_id/vehicles",
    {
      config: readable,
      schema: {
        tags,
        summary: "Vehicles that take part, from their first package on, by VIN",
        params: CampaignId,
        querystring: Type.Object({
          ...PageQuery(VehicleId).properties,
          status: Type.Optional(CampaignVehicleStatus),
        }),
        response: { 200: Page(CampaignVehicle) },
      },
    },
    async ({ params, query }) => {
      const { campaign_id } = await existing(db, params.campaign_id);
      const rows = await listCampaignVehicles(db, campaign_id, {
        ...query,
        limit: query.limit + 1,
      });
      return page(query.limit, rows.map(vehicleAnswerOf), (row) => row.vin);
    },
  );
}

function drafts(http: Http, db: Db): void {
  http.post(
    "/campaigns",
    {
      config: writable,
      schema: {
        tags,
        summary: "Makes a draft",
        body: CampaignContent,
        response: { 201: CampaignAnswer },
      },
    },
    async (request, reply) => {
      const made = await createDraft(db, callingOperator(request), request.body);
      return reply.code(201).send(answerOf(made));
    },
  );

  http.patch(
    "/campaigns/:campaign_id",
    {
      config: writable,
      schema: {
        tags,
        summary: "Changes a draft",
        params: CampaignId,
        body: CampaignPatch,
        response: { 200: CampaignAnswer },
      },
    },
    async (request) => {
      const { params, body } = request;
      return answerOf(await patchDraft(db, params.campaign_id, callingOperator(request), body));
    },
  );

  http.delete(
    "/campaigns/:campaign_id",
    {
      config: writable,
      schema: {
        tags,
        summary: "Deletes a draft",
        params: CampaignId,
        response: { 204: NoContent },
      },
    },
    async (request, reply) => {
      await deleteDraft(db, request.params.campaign_id, callingOperator(request));
      return reply.code(204).send();
    },
  );

  http.post(
    "/campaigns/:campaign_id/clone",
    {
      config: writable,
      schema: {
        tags,
        summary: "Makes a draft that says the same, without its times",
        params: CampaignId,
        response: { 201: CampaignAnswer },
      },
    },
    async (request, reply) => {
      const { campaign_id } = request.params;
      const made = await cloneCampaign(db, campaign_id, callingOperator(request));
      return reply.code(201).send(answerOf(made));
    },
  );
}

/** @throws ProblemError CAMPAIGN_UNKNOWN */
async function existing(db: Db, campaignId: string): Promise<Campaign> {
  const campaign = await campaignById(db, campaignId);
  if (campaign === undefined) throw new ProblemError("CAMPAIGN_UNKNOWN", campaignId);
  return campaign;
}
