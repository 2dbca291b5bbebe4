import { sql, type Selectable } from "kysely";
import type { Delivery, DeliveryStatus, Webhook, WebhookChange } from "#protocol/api/webhook.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { eventId, settled } from "./queries.ts";
import type { WebhookTable } from "./table.ts";

const webhookColumns = [
  "webhook_id",
  "url",
  "description",
  "kinds",
  "vin",
  "active",
  "disabled_reason",
  "previous_until",
  "failures",
  "rests_until",
  "dead_since",
  "created_by",
  "created_at",
] as const;

type WebhookRow = Pick<Selectable<WebhookTable>, (typeof webhookColumns)[number]>;

export interface WebhookToInsert {
  webhook_id: string;
  url: string;
  description: string | null;
  kinds: string[];
  vin: string | null;
  secret: Buffer;
  active: boolean;
  created_by: string;
}

/** @returns undefined when there are `most` already */
export async function insertWebhook(
  db: Db,
  webhook: WebhookToInsert,
  most: number,
): Promise<Webhook | undefined> {
  return db.transaction().execute(async (tx) => {
    await sql`lock table webhook in share row exclusive mode`.execute(tx);
    const { count } = await tx
      .selectFrom("webhook")
      .select((select) => select.fn.countAll<number>().as("count"))
      .executeTakeFirstOrThrow();
    if (count >= most) return undefined;
    const row = await tx
      .insertInto("webhook")
      .values(webhook)
      .returning(webhookColumns)
      .executeTakeFirstOrThrow();
    return asWebhook(row);
  });
}

/** All there are; no more than a page of a list. */
export async function listWebhooks(db: Db): Promise<Webhook[]> {
  const rows = await db
    .selectFrom("webhook")
    .select(webhookColumns)
    .orderBy("webhook_id")
    .execute();
  return rows.map(asWebhook);
}

export async function webhookById(db: Db, webhookId: string): Promise<Webhook | undefined> {
  const row = await db
    .selectFrom("webhook")
    .select(webhookColumns)
    .where("webhook_id", "=", webhookId)
    .executeTakeFirst();
  return row && asWebhook(row);
}

/** One that was out of use begins anew: with what happens from now on, and nothing held against it. */
export async function changeWebhook(
  db: Db,
  webhookId: string,
  { active, ...change }: WebhookChange,
): Promise<Webhook | undefined> {
  const afresh = sql`${active ?? false}::boolean and not active`;
  const row = await db
    .updateTable("webhook")
    .set({
      ...change,
      ...(active !== undefined && {
        active,
        since_txid: sql<string>`case when ${afresh} then pg_current_xact_id() else since_txid end`,
        failures: sql<number>`case when ${afresh} then 0 else failures end`,
        rests_until: sql<Date | null>`case when ${afresh} then null else rests_until end`,
        disabled_reason: sql<
          string | null
        >`case when ${active}::boolean then null else disabled_reason end`,
      }),
      // Another place has failed at nothing yet.
      ...(change.url !== undefined && { failures: 0, rests_until: null }),
    })
    .where("webhook_id", "=", webhookId)
    .returning(webhookColumns)
    .executeTakeFirst();
  return row && asWebhook(row);
}

/** The secret that was valid is so until then, beside the new one. */
export async function rotateSecret(
  db: Db,
  webhookId: string,
  secret: Buffer,
  until: Date,
): Promise<Webhook | undefined> {
  const row = await db
    .updateTable("webhook")
    .set((set) => ({ secret, previous_secret: set.ref("secret"), previous_until: until }))
    .where("webhook_id", "=", webhookId)
    .returning(webhookColumns)
    .executeTakeFirst();
  return row && asWebhook(row);
}

/** With its deliveries. @returns whether there was one */
export async function deleteWebhook(db: Db, webhookId: string): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom("webhook")
    .where("webhook_id", "=", webhookId)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}

function asWebhook({ previous_until, ...row }: WebhookRow): Webhook {
  return {
    ...row,
    previous_secret_until: previous_until?.toISOString() ?? null,
    rests_until: row.rests_until?.toISOString() ?? null,
    dead_since: row.dead_since?.toISOString() ?? null,
    created_at: row.created_at.toISOString(),
  };
}

export interface DeliveryFilter {
  limit: number;
  cursor?: number | undefined;
  status?: DeliveryStatus | undefined;
}

/** Deliveries to a webhook, newest first. */
export async function listDeliveries(
  db: Db,
  webhookId: string,
  { limit, cursor, status }: DeliveryFilter,
): Promise<Delivery[]> {
  let query = deliveries(db)
    .where("webhook_id", "=", webhookId)
    .orderBy("delivery_id", "desc")
    .limit(limit);
  if (cursor !== undefined) query = query.where("delivery_id", "<", cursor);
  if (status !== undefined) query = query.where("status", "=", status);
  return (await query.execute()).map(asDelivery);
}

export async function deliveryById(
  db: Db,
  webhookId: string,
  deliveryId: number,
): Promise<Delivery | undefined> {
  const row = await deliveries(db)
    .where("webhook_id", "=", webhookId)
    .where("delivery_id", "=", deliveryId)
    .executeTakeFirst();
  return row && asDelivery(row);
}

function deliveries(db: Db) {
  return db
    .selectFrom("webhook_delivery")
    .innerJoin("event", "event.event_id", "webhook_delivery.event_id")
    .select([
      "delivery_id",
      "event.event_id",
      "event.txid",
      "event.kind",
      "webhook_delivery.status",
      "attempts",
      "due_at",
      "answered",
      "error",
      "created_at",
      "tried_at",
    ]);
}

type DeliveryRow = Awaited<ReturnType<ReturnType<typeof deliveries>["execute"]>>[number];

function asDelivery({ event_id, txid, due_at, ...row }: DeliveryRow): Delivery {
  return {
    ...row,
    event_id: eventId({ txid, event_id }),
    due_at: row.status === "waiting" ? due_at.toISOString() : null,
    created_at: row.created_at.toISOString(),
    tried_at: row.tried_at?.toISOString() ?? null,
  };
}

/** Puts deliveries that were given up, or one that has arrived, back among those that wait. */
export async function redeliver(
  db: Db,
  webhookId: string,
  { deliveryId, now, limit }: { deliveryId?: number | undefined; now: Date; limit: number },
): Promise<number> {
  const { numAffectedRows } = await sql`
    update webhook_delivery set status = 'waiting', attempts = 0, due_at = ${now}
    where webhook_id = ${webhookId} and delivery_id in (
      select delivery_id from webhook_delivery
      where webhook_id = ${webhookId}
        and ${deliveryId === undefined ? sql`status = 'dead'` : sql`delivery_id = ${deliveryId} and status <> 'waiting'`}
      order by delivery_id limit ${limit}
      for update skip locked
    )`.execute(db);
  return Number(numAffectedRows ?? 0n);
}

/** An event that only this webhook is told of. @returns the id of its delivery */
export async function insertTest(tx: Tx, webhookId: string, due: Date): Promise<number> {
  const { rows } = await sql<{ delivery_id: number }>`
    with test as (
      insert into event (kind, subject, data)
      values (${TEST_KIND}, ${webhookId}, '{}') returning event_id
    )
    insert into webhook_delivery (webhook_id, event_id, status, due_at, created_at)
    select ${webhookId}::uuid, event_id, 'waiting', ${due}, now() from test
    returning delivery_id`.execute(tx);
  const [row] = rows;
  if (row === undefined) throw new Error("an insert has returned nothing");
  return row.delivery_id;
}

const TEST_KIND = "webhook.test";

/**
 * Gives webhooks the next events that fit them, each event once whichever gateway does it.
 * @returns how many events were looked at; fewer than `limit` when there are no more
 */
export async function fanOut(db: Db, now: Date, limit: number): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    with begun as (
      -- What happened while there was no webhook concerns none.
      select greatest(p.txid, w.since_txid) as txid,
        case when p.txid < w.since_txid then 0 else p.event_id end as event_id
      from webhook_position p,
        (select since_txid from webhook where active order by since_txid limit 1) w
      -- There is one, and the planner knows by this.
      limit 1 for update of p skip locked
    ),
    batch as materialized (
      select event.* from begun, lateral (
        select txid, event_id, kind, vin, subject from event
        where (event.txid, event.event_id) > (begun.txid, begun.event_id) and ${settled}
        order by txid, event_id limit ${limit}
      ) event
    ),
    given as (
      insert into webhook_delivery (webhook_id, event_id, status, due_at, created_at)
      select webhook_id, event_id, 'waiting', ${now}, ${now}
      from batch join webhook on active and batch.txid >= since_txid
        and (kinds = '{}' or kinds && array[kind, split_part(kind, '.', 1) || '.*'])
        and (webhook.vin is null or webhook.vin = batch.vin)
        -- Its own failures are nothing to fail at.
        and not (kind like 'webhook.%' and subject = webhook_id::text)
        and kind <> ${TEST_KIND}
      order by txid, event_id
    ),
    moved as (
      update webhook_position set (txid, event_id) =
        (select txid, event_id from batch order by txid desc, event_id desc limit 1)
      where exists (select from batch)
    )
    select count(*) as count from batch`.execute(db);
  return rows[0]?.count ?? 0;
}
