import { sql } from "kysely";
import type { CertificateIssuer } from "#crypto/certificate-issuer.ts";
import type { KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { PkiError } from "#crypto/pki-error.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import { revokedOf } from "./queries.ts";
import "./table.ts";

/** The revocation lists of the authorities here, one for each algorithm. */
export interface RevocationLists {
  /**
   * The certificates of an authority that are revoked (RFC 5280 §5), signed by it: the list made
   * last, or a new one when a certificate was revoked since or half of its time is over.
   * @throws ProblemError ISSUER_UNAVAILABLE
   */
  current(algorithm: KeyAlgorithm): Promise<Buffer>;
  /** Certificates have been revoked: the next who asks gets them, too. */
  changed(): void;
}

/**
 * Anybody may ask for a list, as often as they like: it comes from memory, and the database is asked
 * once a minute whether it still holds. Only making one takes a lock.
 * @param deps `hours` are how long a list may be used; `now` is a clock that never goes back
 */
export function createRevocationLists(deps: {
  db: Db;
  issuer: CertificateIssuer;
  hours: number;
  now?: () => number;
}): RevocationLists {
  const { db, issuer, hours, now = () => performance.now() } = deps;
  const lifetime = hours * HOUR;
  const known = new Map<KeyAlgorithm, { list: Promise<Buffer>; until: number }>();

  async function load(algorithm: KeyAlgorithm): Promise<StoredList> {
    try {
      const authority = await issuer.authority(algorithm);
      const stored = await storedList(db, authority);
      if (stored !== undefined && timeLeft(stored, lifetime) > 0) return stored;
      const order = { authority, algorithm, lifetime };
      return await db.transaction().execute((tx) => renew(tx, issuer, order));
    } catch (error) {
      if (error instanceof PkiError) throw new ProblemError("ISSUER_UNAVAILABLE", error.message);
      throw error;
    }
  }

  return {
    current(algorithm) {
      const last = known.get(algorithm);
      if (last !== undefined && now() < last.until) return last.list;
      const loaded = load(algorithm);
      // Whoever asks meanwhile waits for the same one.
      const entry = { list: loaded.then(({ der }) => der), until: Infinity };
      known.set(algorithm, entry);
      loaded.then(
        (stored) => (entry.until = now() + Math.min(MEMORY_MS, timeLeft(stored, lifetime))),
        () => (entry.until = -Infinity),
      );
      return entry.list;
    },
    changed: () => known.clear(),
  };
}

const HOUR = 3_600_000;
/** An authority may be replaced, and another process may have made a newer list. */
const MEMORY_MS = 60_000;
const NEVER = new Date(0);

interface StoredList {
  number: number;
  this_update: Date;
  next_update: Date;
  /** Certificates in it that had not expired when it was made. */
  entries: number;
  der: Buffer;
  /** Certificates that would have been among them by what is known at `at`. */
  revoked: number;
  /** By the database's clock, as revocations are. */
  at: Date;
}

/** Milliseconds until another one has to be made; 0 or less when it is due. */
function timeLeft(
  { this_update, next_update, entries, revoked, at }: StoredList,
  lifetime: number,
) {
  // By the count, as a revocation may be seen later than its time says.
  if (entries !== revoked) return 0;
  const due = Math.min(this_update.getTime() + lifetime / 2, next_update.getTime());
  return due - at.getTime();
}

async function storedList(db: Db, authority: string): Promise<StoredList | undefined> {
  return db
    .selectFrom("revocation_list as list")
    .select(["number", "this_update", "next_update", "entries", "der"])
    .select(sql<Date>`clock_timestamp()`.as("at"))
    .select((list) =>
      list
        .selectFrom("certificate")
        .select((each) => each.fn.countAll<number>().as("count"))
        .whereRef("certificate.issuer", "=", "list.issuer")
        .where("revoked_at", "is not", null)
        .whereRef("not_after", ">", "list.this_update")
        .$asScalar()
        .$notNull()
        .as("revoked"),
    )
    .where("issuer", "=", authority)
    .executeTakeFirst();
}

async function renew(
  tx: Tx,
  issuer: CertificateIssuer,
  order: { authority: string; algorithm: KeyAlgorithm; lifetime: number },
): Promise<StoredList> {
  const { authority, algorithm, lifetime } = order;
  await lockList(tx, authority);
  const last = await storedList(tx, authority);
  if (last === undefined) throw new Error("a revocation list vanished under its lock");
  // Somebody else may have made it while this one waited.
  if (timeLeft(last, lifetime) > 0) return last;
  // An entry goes only after a list that was made when its certificate had expired (§3.3).
  const since = last.number === 0 ? last.at : last.this_update;
  const revoked = await revokedOf(tx, authority, since);
  const thisUpdate = await databaseTime(tx);
  const nextUpdate = new Date(thisUpdate.getTime() + lifetime);
  const number = last.number + 1;
  const content = { number, thisUpdate, nextUpdate, revoked };
  const made = {
    number,
    this_update: thisUpdate,
    next_update: nextUpdate,
    entries: revoked.filter(({ notAfter }) => notAfter > thisUpdate).length,
    der: await issuer.revocationList(algorithm, content),
  };
  await tx.updateTable("revocation_list").set(made).where("issuer", "=", authority).execute();
  return { ...made, revoked: made.entries, at: thisUpdate };
}

/** Two processes at once must not make two lists with one number. */
async function lockList(tx: Tx, issuer: string): Promise<void> {
  const none = { number: 0, this_update: NEVER, next_update: NEVER, entries: 0 };
  await tx
    .insertInto("revocation_list")
    .values({ issuer, ...none, der: Buffer.alloc(0) })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  await tx
    .selectFrom("revocation_list")
    .select("number")
    .where("issuer", "=", issuer)
    .forUpdate()
    .execute();
}

/** Revocations carry the database's time; that of this process may be behind it. */
async function databaseTime(tx: Tx): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select clock_timestamp() as now`.execute(tx);
  return rows[0]?.now ?? new Date();
}
