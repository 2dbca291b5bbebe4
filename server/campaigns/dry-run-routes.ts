import { randomUUID } from "node:crypto";
import Type from "typebox";
import { CampaignContent } from "#protocol/api/campaign.ts";
import { DryRun } from "#protocol/api/dry-run.ts";
import { Uuid } from "#protocol/api/identifier.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Http } from "#server/http/http.ts";
import { contentOf } from "./drafts.ts";
import { dryRun, type DryRunDeps } from "./dry-run.ts";
import { campaignById } from "./queries.ts";

const tags = ["campaigns"];
const config = { access: { by: "operator" }, reads: true } as const;

/** What campaigns would do, without doing it. */
export function dryRunRoutes(deps: DryRunDeps) {
  return async (http: Http): Promise<void> => {
    http.post(
      "/campaigns/dry-run",
      {
        config,
        schema: {
          tags,
          operationId: "dryRunContent",
          summary: "What a campaign would do that is yet to be made",
          body: CampaignContent,
          response: { 200: DryRun },
        },
      },
      // The percentage is drawn by the campaign's id: this one's is anybody's.
      async ({ body }) => {
        const content = contentOf(body);
        return dryRun(deps, { ...content, campaign_id: randomUUID(), started_at: null });
      },
    );

    http.post(
      "/campaigns/:campaign_id/dry-run",
      {
        config,
        schema: {
          tags,
          summary: "What a campaign would do to the fleet as it is",
          params: Type.Object({ campaign_id: Uuid }),
          response: { 200: DryRun },
        },
      },
      async ({ params }) => {
        const campaign = await campaignById(deps.db, params.campaign_id);
        if (campaign === undefined) throw new ProblemError("CAMPAIGN_UNKNOWN", params.campaign_id);
        return dryRun(deps, campaign);
      },
    );
  };
}
