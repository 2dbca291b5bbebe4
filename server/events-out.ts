import type { ServerConfig } from "#config/server.ts";
import type { Db } from "#server/database/connection.ts";
import { createEventFeed } from "#server/events/feed.ts";
import { eventRoutes } from "#server/events/routes.ts";
import { createDispatcher } from "#server/events/webhook-dispatcher.ts";
import { webhookRoutes } from "#server/events/webhook-routes.ts";
import { callingOperator } from "#server/http/access.ts";
import { operatorById } from "#server/operators/queries.ts";
import type { Log } from "#server/runtime/log.ts";

/** What tells others of events. */
export function composeEvents({ db, config, log }: { db: Db; config: ServerConfig; log: Log }) {
  const pollMs = config.events.poll_ms;
  const feed = createEventFeed({ db, pollMs, log });
  const dispatcher = createDispatcher({ db, settings: config.webhooks, pollMs, log });
  const { wake } = dispatcher;
  return {
    routes: [
      eventRoutes({
        db,
        feed,
        mayGoOn: async (request) => {
          const { token_id } = callingOperator(request);
          return (await operatorById(db, token_id)) !== undefined;
        },
      }),
      webhookRoutes({ db, allowPrivate: config.webhooks.allow_private, wake }),
    ],
    start: () => dispatcher.start(),
    async stop() {
      feed.stop();
      await dispatcher.stop();
    },
  };
}
