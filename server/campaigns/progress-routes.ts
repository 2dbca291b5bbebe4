import Type from "typebox";
import { Campaign as CampaignAnswer, CampaignAction } from "#protocol/api/campaign.ts";
import { CampaignProgress, CampaignRollback } from "#protocol/api/campaign-progress.ts";
import { Uuid } from "#protocol/api/identifier.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { callingOperator } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import { answerOf } from "./answer.ts";
import { countsOfCampaign } from "./counter-queries.ts";
import { progressOf } from "./progress-view.ts";
import { campaignById } from "./queries.ts";
import { retryVehicles, rollBackVehicles, type VehicleActionDeps } from "./vehicle-actions.ts";

const tags = ["campaigns"];
const params = Type.Object({ campaign_id: Uuid });
const manager = {
  access: { by: "operator", roles: ["campaign_manager"] },
  audit: "own",
} as const;

/** How far campaigns have come, and what can be done about the vehicles in them. */
export function campaignProgressRoutes(deps: VehicleActionDeps) {
  return async (http: Http): Promise<void> => {
    http.get(
      "/campaigns/:campaign_id/progress",
      {
        config: { access: { by: "operator" } },
        schema: {
          tags,
          summary: "Figures as a whole, by wave and by ECUs; what the stop rule says; what is next",
          params,
          response: { 200: CampaignProgress },
        },
      },
      async (request) => {
        const { campaign_id } = request.params;
        const campaign = await campaignById(deps.db, campaign_id);
        if (campaign === undefined) throw new ProblemError("CAMPAIGN_UNKNOWN", campaign_id);
        const now = deps.now?.() ?? new Date();
        return progressOf(campaign, await countsOfCampaign(deps.db, campaign_id), now);
      },
    );

    http.post(
      "/campaigns/:campaign_id/retry",
      {
        config: manager,
        schema: {
          tags,
          summary: "Gives the vehicles that failed another try",
          params,
          body: CampaignAction,
          response: { 202: CampaignAnswer },
        },
      },
      async (request, reply) => {
        const { campaign_id } = request.params;
        const by = callingOperator(request);
        const campaign = await retryVehicles(deps, campaign_id, by, request.body);
        return reply.code(202).send(answerOf(campaign));
      },
    );

    http.post(
      "/campaigns/:campaign_id/rollback",
      {
        config: manager,
        schema: {
          tags,
          summary: "Has the vehicles that succeeded go back to what they ran before",
          params,
          body: CampaignRollback,
          response: { 202: CampaignAnswer },
        },
      },
      async (request, reply) => {
        const { campaign_id } = request.params;
        const by = callingOperator(request);
        const campaign = await rollBackVehicles(deps, campaign_id, by, request.body);
        return reply.code(202).send(answerOf(campaign));
      },
    );
  };
}
