import { sql, type RawBuilder } from "kysely";
import type { Db } from "#server/database/connection.ts";
import "./table.ts";

/** Logins with a name that may fail before it is locked. */
const FREE_FAILURES = 5;
const FIRST_LOCK_S = 30;
const LONGEST_LOCK_S = 900;

export type Attempt =
  /** It counts as failed until {@link endAttempts} says otherwise; from `lockedUntil` on it was one too many. */
  { mayTry: true; locksUntil: Date | null } | { mayTry: false; retryAfterS: number };

/**
 * Counts an attempt before the password is looked at, so that many at once are not more than one
 * after another. Each failure from the fifth on locks the name for twice as long, up to a quarter of
 * an hour; after a day without any the count begins anew.
 */
export async function beginAttempt(db: Db, nameSha256: Buffer): Promise<Attempt> {
  const { rows } = await sql<{ locked_until: Date | null }>`
    insert into operator_login as login (name_sha256, failures, locked_until, last_at)
    values (${nameSha256}, 1, null, now())
    on conflict (name_sha256) do update set (failures, locked_until, last_at) = (
      select failures, case when failures >= ${FREE_FAILURES} then now() + interval '1 second'
        * least(${LONGEST_LOCK_S}, ${FIRST_LOCK_S} * power(2, failures - ${FREE_FAILURES})) end, now()
      from (select case when login.last_at < now() - interval '1 day' then 1
        else least(login.failures, 99) + 1 end as failures) as next
    )
    where not coalesce(${isLocked("login.locked_until")}, false)
    returning locked_until
  `.execute(db);
  const [counted] = rows;
  if (counted) return { mayTry: true, locksUntil: counted.locked_until };
  const { rows: locked } = await sql<{ seconds: number }>`
    select ceil(extract(epoch from locked_until - now()))::integer as seconds
    from operator_login where name_sha256 = ${nameSha256}
  `.execute(db);
  return { mayTry: false, retryAfterS: Math.max(1, locked[0]?.seconds ?? 1) };
}

/** A lock that ends later than any can is of a time before the clock was set back: it is over. */
export function isLocked(until: string): RawBuilder<boolean> {
  const time = sql.ref(until);
  return sql`(${time} > now() and ${time} <= now() + ${LONGEST_LOCK_S} * interval '1 second')`;
}

/** Forgets the failures of a name: its password was right. */
export async function endAttempts(db: Db, nameSha256: Buffer): Promise<void> {
  await db.deleteFrom("operator_login").where("name_sha256", "=", nameSha256).execute();
}

/** Takes an attempt back: the password was not looked at. */
export async function takeBackAttempt(db: Db, nameSha256: Buffer): Promise<void> {
  await db
    .updateTable("operator_login")
    .set((login) => ({ failures: login("failures", "-", 1), locked_until: null }))
    .where("name_sha256", "=", nameSha256)
    .where("failures", ">", 0)
    .execute();
}
