import type { FastifyRequest } from "fastify";
import Type from "typebox";
import { Event, EventId, EventKind } from "#protocol/api/event.ts";
import { VehicleId } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Db } from "#server/database/connection.ts";
import { eventStreams } from "#server/http/event-stream.ts";
import { EventStream } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import type { EventFeed } from "./feed.ts";
import { eventsAfter, eventsBefore, positionOf } from "./queries.ts";

export interface EventRoutesDeps {
  db: Db;
  feed: EventFeed;
  /** Whether whoever listens still may. */
  mayGoOn: (request: FastifyRequest) => Promise<boolean>;
}

const tags = ["events"];
const access = { by: "operator" } as const;
const Filter = {
  kind: Type.Optional(EventKind),
  vin: Type.Optional(VehicleId),
  subject: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
};

/** Reading what has happened, and as it happens. */
export function eventRoutes({ db, feed, mayGoOn }: EventRoutesDeps) {
  return async (http: Http): Promise<void> => {
    const streams = eventStreams(http);

    http.get(
      "/events",
      {
        config: { access },
        schema: {
          tags,
          summary: "Events, newest first; with `since`, in their order from behind that one on",
          querystring: Type.Object({
            ...PageQuery(EventId).properties,
            since: Type.Optional(EventId),
            ...Filter,
          }),
          response: { 200: Page(Event) },
        },
      },
      async ({ query: { limit, cursor, since, ...filter } }) => {
        if (since !== undefined && cursor !== undefined) {
          throw new ProblemError("REQUEST_INVALID", "since and cursor don't go together");
        }
        const before = cursor === undefined ? undefined : positionOf(cursor);
        const rows =
          since === undefined
            ? await eventsBefore(db, filter, { before, limit: limit + 1 })
            : await eventsAfter(db, filter, { after: positionOf(since), limit: limit + 1 });
        return page(limit, rows, ({ id }) => id);
      },
    );

    http.get(
      "/events/stream",
      {
        exposeHeadRoute: false,
        config: { access, stream: true },
        schema: {
          tags,
          summary: "Events as they come, as server-sent events; Last-Event-ID resumes",
          response: { 200: EventStream },
          querystring: Type.Object({ since: Type.Optional(EventId), ...Filter }),
          headers: Type.Object({ "last-event-id": Type.Optional(EventId) }),
        },
      },
      async (request, reply) => {
        const { since, ...filter } = request.query;
        const after = request.headers["last-event-id"] ?? since;
        return streams.send(
          reply,
          (signal) => streamed(feed, filter, after, signal),
          () => mayGoOn(request),
        );
      },
    );
  };
}

async function* streamed(feed: EventFeed, ...following: Parameters<EventFeed["follow"]>) {
  for await (const event of feed.follow(...following)) {
    yield { id: event.id, event: event.kind, data: event };
  }
}
