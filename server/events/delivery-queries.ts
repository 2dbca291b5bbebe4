import { sql } from "kysely";
import type { Event } from "#protocol/api/event.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { eventId } from "./queries.ts";

/** A webhook that deliveries are due for. */
export interface DueWebhook {
  webhook_id: string;
  url: string;
  /** Those that are valid. */
  secrets: Buffer[];
  failures: number;
}

export async function dueWebhooks(db: Db, now: Date): Promise<DueWebhook[]> {
  const { rows } = await sql<Omit<DueWebhook, "secrets"> & Record<"secret" | "previous", Buffer>>`
    select webhook_id, url, failures, secret,
      case when previous_until > ${now} then previous_secret end as previous
    from webhook
    where active and (rests_until is null or rests_until <= ${now}) and exists (
      select from webhook_delivery d
      where d.webhook_id = webhook.webhook_id and status = 'waiting' and due_at <= ${now}
    )`.execute(db);
  return rows.map(({ secret, previous, ...row }) => ({
    ...row,
    secrets: [secret, previous].filter((each) => each !== null),
  }));
}

/** A delivery that is being tried here. */
export interface Claim {
  delivery_id: number;
  /** With this one; another gateway that took it meanwhile counts one more. */
  attempts: number;
  event: Event;
}

/** Takes deliveries that are due; nobody else tries them before `until`. */
export async function claim(
  db: Db,
  webhookId: string,
  { now, until, limit }: { now: Date; until: Date; limit: number },
): Promise<Claim[]> {
  const { rows } = await sql<
    Omit<Claim, "event"> & Omit<Event, "id" | "at"> & { at: Date; txid: string; event_id: number }
  >`
    with taken as (
      update webhook_delivery set attempts = attempts + 1, due_at = ${until}, tried_at = ${now}
      where delivery_id in (
        select delivery_id from webhook_delivery
        where webhook_id = ${webhookId} and status = 'waiting' and due_at <= ${now}
        order by due_at limit ${limit}
        for update skip locked
      )
      returning delivery_id, attempts, event_id
    )
    select delivery_id, attempts, event_id, txid, at, kind, vin, subject, data
    from taken join event using (event_id) order by txid, event_id`.execute(db);
  return rows.map(({ delivery_id, attempts, txid, event_id, at, kind, vin, subject, data }) => ({
    delivery_id,
    attempts,
    event: { id: eventId({ txid, event_id }), kind, at: at.toISOString(), vin, subject, data },
  }));
}

/** Deliveries that have arrived. */
export async function markDelivered(
  db: Db,
  done: readonly { delivery_id: number; webhook_id: string; status: number }[],
): Promise<void> {
  await sql`
    update webhook_delivery d set status = 'delivered', answered = done.status, error = null
    from jsonb_to_recordset(${JSON.stringify(done)}::jsonb)
      as done (delivery_id bigint, status smallint)
    where d.delivery_id = done.delivery_id`.execute(db);
  const ids = [...new Set(done.map(({ webhook_id }) => webhook_id))];
  await sql`
    update webhook set failures = 0, rests_until = null, dead_since = null
    where webhook_id = any (${ids}::uuid[]) and (failures > 0 or dead_since is not null)
  `.execute(db);
}

export interface Failure {
  webhook_id: string;
  delivery_id: number;
  /** Of the claim; a later one has its own end. */
  attempts: number;
  answered: number | null;
  error: string;
  /** undefined: it is given up. */
  again: Date | undefined;
}

/** Notes a delivery that has not arrived. */
export async function markFailed(
  tx: Tx,
  { webhook_id, delivery_id, attempts, answered, error, again }: Failure,
): Promise<void> {
  await sql`
    update webhook_delivery set
      status = ${again === undefined ? "dead" : "waiting"}, answered = ${answered}::smallint,
      error = ${error}, due_at = coalesce(${again ?? null}::timestamptz, due_at)
    where delivery_id = ${delivery_id} and webhook_id = ${webhook_id}
      and status = 'waiting' and attempts = ${attempts}`.execute(tx);
}

/** Counts a failure. @returns how many there have been in a row; undefined when it is deleted */
export async function countFailure(tx: Tx, webhookId: string): Promise<number | undefined> {
  const row = await tx
    .updateTable("webhook")
    .set((set) => ({ failures: set("failures", "+", 1) }))
    .where("webhook_id", "=", webhookId)
    .returning("failures")
    .executeTakeFirst();
  return row?.failures;
}

export async function restWebhook(tx: Tx, webhookId: string, until: Date): Promise<void> {
  await tx
    .updateTable("webhook")
    .set({ rests_until: until })
    .where("webhook_id", "=", webhookId)
    .execute();
}

/** Puts a webhook out of use. */
export async function disableWebhook(tx: Tx, webhookId: string, reason: string): Promise<void> {
  await tx
    .updateTable("webhook")
    .set({ active: false, disabled_reason: reason })
    .where("webhook_id", "=", webhookId)
    .execute();
}

/** @returns whether this is the first that is given up since one arrived */
export async function markDead(tx: Tx, webhookId: string, now: Date): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable("webhook")
    .set({ dead_since: now })
    .where("webhook_id", "=", webhookId)
    .where("dead_since", "is", null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}
