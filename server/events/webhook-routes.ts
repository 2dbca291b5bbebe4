import { randomUUIDv7 } from "node:crypto";
import Type from "typebox";
import { Uuid } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import {
  Delivery,
  DeliveryStatus,
  NewWebhook,
  SecretRotation,
  Webhook,
  WebhookChange,
  WebhookWithSecret,
} from "#protocol/api/webhook.ts";
import type { Db } from "#server/database/connection.ts";
import { callingOperator } from "#server/http/access.ts";
import { NoContent } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { checkUrl, newSecret, parseSecret, printSecret } from "./webhook.ts";
import * as queries from "./webhook-queries.ts";

export interface WebhookRoutesDeps {
  db: Db;
  allowPrivate: boolean;
  /** Something is due now. */
  wake: () => void;
}

const MOST_WEBHOOKS = 100;
const MOST_REDELIVERED = 10_000;

const tags = ["webhooks"];
const config = { access: { by: "operator", roles: ["admin"] } } as const;
const Id = Type.Object({ webhook_id: Uuid });
const Number = Type.Integer({ minimum: 1, maximum: 999_999_999_999_999 });
const DeliveryId = Type.Object({ webhook_id: Uuid, delivery_id: Number });

/** Who is told of events; an admin's. */
export function webhookRoutes(deps: WebhookRoutesDeps) {
  return async (http: Http): Promise<void> => {
    webhooks(http, deps);
    changes(http, deps);
    tests(http, deps);
    secrets(http, deps);
    deliveries(http, deps);
    redeliveries(http, deps);
  };
}

function webhooks(http: Http, { db, allowPrivate }: WebhookRoutesDeps): void {
  http.post(
    "/webhooks",
    {
      config,
      schema: {
        tags,
        summary: "Has events sent to a URL; the secret that signs them is shown this once",
        body: NewWebhook,
        response: { 201: WebhookWithSecret },
      },
    },
    async (request, reply) => {
      const { url, description = null, kinds = [], vin = null, active = true } = request.body;
      checkUrl(url, allowPrivate);
      const given = request.body.secret;
      const secret = given === undefined ? newSecret() : parseSecret(given);
      const webhook = await queries.insertWebhook(
        db,
        {
          webhook_id: randomUUIDv7(),
          ...{ url, description, kinds, vin, secret, active },
          created_by: callingOperator(request).name,
        },
        MOST_WEBHOOKS,
      );
      if (webhook === undefined) throw new ProblemError("WEBHOOKS_FULL", `${MOST_WEBHOOKS}`);
      return reply.code(201).send({ ...webhook, secret: printSecret(secret) });
    },
  );

  http.get(
    "/webhooks",
    {
      config,
      schema: {
        tags,
        summary: "Webhooks, without their secrets",
        response: { 200: Type.Object({ items: Type.Array(Webhook) }) },
      },
    },
    async () => ({ items: await queries.listWebhooks(db) }),
  );

  http.get(
    "/webhooks/:webhook_id",
    { config, schema: { tags, summary: "A webhook", params: Id, response: { 200: Webhook } } },
    async ({ params }) => known(await queries.webhookById(db, params.webhook_id)),
  );
}

function changes(http: Http, { db, allowPrivate, wake }: WebhookRoutesDeps): void {
  http.patch(
    "/webhooks/:webhook_id",
    {
      config,
      schema: {
        tags,
        summary: "Changes a webhook, or takes it out of use",
        params: Id,
        body: WebhookChange,
        response: { 200: Webhook },
      },
    },
    async ({ params, body }) => {
      if (body.url !== undefined) checkUrl(body.url, allowPrivate);
      const changed = await queries.changeWebhook(db, params.webhook_id, body);
      wake();
      return known(changed);
    },
  );

  http.delete(
    "/webhooks/:webhook_id",
    {
      config,
      schema: {
        tags,
        summary: "Deletes a webhook with what waits for it",
        params: Id,
        response: { 204: NoContent },
      },
    },
    async ({ params }, reply) => {
      if (!(await queries.deleteWebhook(db, params.webhook_id))) throw unknown();
      return reply.code(204).send();
    },
  );
}

function tests(http: Http, { db, wake }: WebhookRoutesDeps): void {
  http.post(
    "/webhooks/:webhook_id/test",
    {
      config,
      schema: {
        tags,
        summary: "Sends an event `webhook.test`; what becomes of it is among the deliveries",
        params: Id,
        response: { 202: Delivery },
      },
    },
    async ({ params: { webhook_id } }, reply) => {
      const { active } = known(await queries.webhookById(db, webhook_id));
      if (!active) throw new ProblemError("WEBHOOK_INACTIVE");
      const id = await db
        .transaction()
        .execute((tx) => queries.insertTest(tx, webhook_id, new Date()));
      const delivery = await queries.deliveryById(db, webhook_id, id);
      wake();
      return reply.code(202).send(existing(delivery));
    },
  );
}

const HOUR = 3_600_000;
const OVERLAP_H = 24;

function secrets(http: Http, { db }: WebhookRoutesDeps): void {
  http.post(
    "/webhooks/:webhook_id/rotate-secret",
    {
      config,
      schema: {
        tags,
        operationId: "rotateWebhookSecret",
        summary: "Another secret; for a while both sign",
        params: Id,
        body: SecretRotation,
        response: { 200: WebhookWithSecret },
      },
    },
    async ({ params, body }) => {
      const secret = body.secret === undefined ? newSecret() : parseSecret(body.secret);
      const until = new Date(Date.now() + (body.overlap_h ?? OVERLAP_H) * HOUR);
      const webhook = known(await queries.rotateSecret(db, params.webhook_id, secret, until));
      return { ...webhook, secret: printSecret(secret) };
    },
  );
}

function deliveries(http: Http, { db }: WebhookRoutesDeps): void {
  http.get(
    "/webhooks/:webhook_id/deliveries",
    {
      config,
      schema: {
        tags,
        summary: "What was sent, waits, or was given up (`status=dead`), newest first",
        params: Id,
        querystring: Type.Object({
          ...PageQuery(Number).properties,
          status: Type.Optional(DeliveryStatus),
        }),
        response: { 200: Page(Delivery) },
      },
    },
    async ({ params, query }) => {
      known(await queries.webhookById(db, params.webhook_id));
      const more = { ...query, limit: query.limit + 1 };
      const rows = await queries.listDeliveries(db, params.webhook_id, more);
      return page(query.limit, rows, ({ delivery_id }) => String(delivery_id));
    },
  );
}

function redeliveries(http: Http, { db, wake }: WebhookRoutesDeps): void {
  http.post(
    "/webhooks/:webhook_id/deliveries/:delivery_id/redeliver",
    {
      config,
      schema: { tags, summary: "Sends it again", params: DeliveryId, response: { 202: Delivery } },
    },
    async ({ params: { webhook_id, delivery_id } }, reply) => {
      known(await queries.webhookById(db, webhook_id));
      const again = { deliveryId: delivery_id, now: new Date(), limit: 1 };
      await queries.redeliver(db, webhook_id, again);
      const delivery = existing(await queries.deliveryById(db, webhook_id, delivery_id));
      wake();
      return reply.code(202).send(delivery);
    },
  );

  http.post(
    "/webhooks/:webhook_id/redeliver",
    {
      config,
      schema: {
        tags,
        operationId: "redeliverDead",
        summary: `Sends again what was given up, ${MOST_REDELIVERED} at once at the most`,
        params: Id,
        response: { 202: Type.Object({ redelivered: Type.Integer({ minimum: 0 }) }) },
      },
    },
    async ({ params: { webhook_id } }, reply) => {
      known(await queries.webhookById(db, webhook_id));
      const all = { now: new Date(), limit: MOST_REDELIVERED };
      const redelivered = await queries.redeliver(db, webhook_id, all);
      wake();
      return reply.code(202).send({ redelivered });
    },
  );
}

function unknown(): ProblemError {
  return new ProblemError("WEBHOOK_UNKNOWN");
}

function known(webhook: Webhook | undefined): Webhook {
  if (webhook === undefined) throw unknown();
  return webhook;
}

function existing(delivery: Delivery | undefined): Delivery {
  if (delivery === undefined) throw new ProblemError("WEBHOOK_DELIVERY_UNKNOWN");
  return delivery;
}
