import type { ServerConfig } from "#config/server.ts";
import { openCampaignBook } from "#server/campaigns/book.ts";
import { haltWithdrawn } from "#server/campaigns/course.ts";
import { dryRunRoutes } from "#server/campaigns/dry-run-routes.ts";
import { createEvaluation } from "#server/campaigns/evaluation.ts";
import { createOffers } from "#server/campaigns/offers.ts";
import { createProgress } from "#server/campaigns/progress.ts";
import { campaignProgressRoutes } from "#server/campaigns/progress-routes.ts";
import { campaignRound } from "#server/campaigns/round.ts";
import { campaignRoutes } from "#server/campaigns/routes.ts";
import type { Db } from "#server/database/connection.ts";
import type { ReleaseBook } from "#server/firmware/release-book.ts";
import type { Log } from "#server/runtime/log.ts";

export interface CampaignPartsDeps {
  db: Db;
  config: ServerConfig;
  releases: ReleaseBook;
  /** How often other gateways' changes are looked for; undefined where there are none. */
  everyMs: number | undefined;
  log: Log;
  /** Sends a vehicle the commands that wait for it. */
  deliver: (vin: string) => void;
}

/** Campaigns, as the gateway puts them together. */
export async function composeCampaigns(deps: CampaignPartsDeps) {
  const { db, config, releases, everyMs, log, deliver } = deps;
  const book = await openCampaignBook({ db, everyMs, log });
  const offers = createOffers({ campaigns: book, releases, log });
  const changed = () => book.refresh();
  const { approval, max_active: maxActive } = config.campaigns;
  const evaluation = createEvaluation({ db, changed, log });
  const { counted } = evaluation;
  const work = { db, counted, deliver, ttlSeconds: config.commands.ttl_s, log };
  return {
    book,
    offers,
    progress: createProgress({ counted }),
    routes: [
      campaignRoutes({ db, approval, maxActive, changed }),
      campaignProgressRoutes(work),
      dryRunRoutes({ db, releases }),
    ],
    /** The catalogue in memory, to be refreshed by whoever changes it: campaigns look at what is left. */
    catalogue: {
      async refresh(): Promise<void> {
        await releases.refresh();
        await haltWithdrawn({ db, changed, log }, new Date());
      },
    },
    /**
     * What is due by the clock, in batches for as long as `mayGoOn`.
     * @returns how many campaigns have moved
     */
    async maintain(now: Date, mayGoOn: () => boolean): Promise<number> {
      return campaignRound({ ...work, changed, evaluation, maxActive }, now, mayGoOn);
    },
    stop() {
      void evaluation.stop();
      book.stop();
    },
  };
}
