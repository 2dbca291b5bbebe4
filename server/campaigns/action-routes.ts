import Type from "typebox";
import {
  Campaign as CampaignAnswer,
  CampaignAction,
  CampaignApproval,
  CampaignSchedule,
} from "#protocol/api/campaign.ts";
import { Uuid } from "#protocol/api/identifier.ts";
import { callingOperator } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import { act, schedule, type CampaignDeps, type OperatorInput } from "./actions.ts";
import { answerOf } from "./answer.ts";

const schema = {
  tags: ["campaigns"],
  params: Type.Object({ campaign_id: Uuid }),
  response: { 200: CampaignAnswer },
};
const manager = {
  access: { by: "operator", roles: ["campaign_manager"] },
  audit: "own",
} as const;
const approver = { access: { by: "operator", roles: ["approver"] }, audit: "own" } as const;

/** What a campaign manager does with a campaign, by the last part of the path. */
const managed = {
  submit: "Asks for approval; without a need for it, the campaign is approved",
  withdraw: "Takes it back to be a draft, before it has started",
  start: "Starts an approved campaign now",
  pause: "Gives no vehicle anything further; what is being written goes on",
  resume: "Goes on with a paused campaign",
  finish: "Lets no further vehicle join; it is finished when none is under way any more",
  stop: "Ends it for all vehicles that write no flash yet, and for good",
} as const satisfies Partial<Record<OperatorInput, string>>;

/** What an approver says to it; the approver has had no hand in it. */
const decided = {
  approve: "Another person than those who made or submitted it approves it",
  reject: "Takes it back to be a draft, with a comment",
} as const satisfies Partial<Record<OperatorInput, string>>;

/** The course of a campaign. */
export function actionRoutes(http: Http, deps: CampaignDeps): void {
  for (const [input, summary] of Object.entries(managed)) {
    http.post(
      `/campaigns/:campaign_id/${input}`,
      { config: manager, schema: { ...schema, summary, body: CampaignAction } },
      async (request) => {
        const { campaign_id } = request.params;
        const by = callingOperator(request);
        return answerOf(await act(deps, campaign_id, input as OperatorInput, by, request.body));
      },
    );
  }

  for (const [input, summary] of Object.entries(decided)) {
    http.post(
      `/campaigns/:campaign_id/${input}`,
      { config: approver, schema: { ...schema, summary, body: CampaignApproval } },
      async (request) => {
        const { campaign_id } = request.params;
        const by = callingOperator(request);
        return answerOf(await act(deps, campaign_id, input as OperatorInput, by, request.body));
      },
    );
  }

  http.post(
    "/campaigns/:campaign_id/schedule",
    {
      config: manager,
      schema: {
        ...schema,
        summary: "Sets when an approved campaign starts by itself, and ends",
        body: CampaignSchedule,
      },
    },
    async (request) => {
      const { params, body } = request;
      return answerOf(await schedule(deps, params.campaign_id, callingOperator(request), body));
    },
  );
}
