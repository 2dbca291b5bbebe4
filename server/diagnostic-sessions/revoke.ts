import { randomUUIDv7 } from "node:crypto";
import type { Db } from "#server/database/connection.ts";
import { follow } from "#server/database/follow.ts";
import type { Log } from "#server/runtime/log.ts";
import type { NewRevocation, Revocation } from "./revocation.ts";
import { insertRevocation, revocationsSince } from "./revocation-queries.ts";

/** Ends at once what it names, and resolves when that is done. May be called twice with the same. */
export type RevocationListener = (revocation: Revocation) => Promise<void>;

export interface Revocations {
  onRevoked(listener: RevocationListener): void;
  /**
   * Resolves when every listener of this gateway has ended its own.
   * @throws what a listener throws, after all have been called
   */
  revoke(revocation: NewRevocation): Promise<Revocation>;
  stop(): void;
}

/** Revocations that are older have been carried out: sessions in vehicles are checked as they return. */
const RECENT_MS = 60_000;

/**
 * Has every part of remote diagnostics end what is revoked, on every gateway of the database: the
 * vehicle may be connected to another one.
 * @param everyMs how often another gateway's are looked for; undefined where there is none
 */
export async function createRevocations({
  db,
  everyMs,
  log,
}: {
  db: Db;
  everyMs: number | undefined;
  log: Log;
}): Promise<Revocations> {
  const listeners: RevocationListener[] = [];
  /** Carried out here, by the time of it: `follow` tells of each for a while. */
  const done = new Map<string, number>();
  let started = false;

  async function carryOut(revocation: Revocation): Promise<void> {
    done.set(revocation.revocation_id, revocation.changed_at.getTime());
    const ended = await Promise.allSettled(listeners.map((listener) => listener(revocation)));
    for (const each of ended) if (each.status === "rejected") throw each.reason;
  }

  function takeUp(revocations: Revocation[]): void {
    for (const revocation of revocations) {
      if (done.has(revocation.revocation_id)) continue;
      if (!started) {
        done.set(revocation.revocation_id, revocation.changed_at.getTime());
        continue;
      }
      void carryOut(revocation).catch((error: unknown) =>
        log.error({ err: error, revocation_id: revocation.revocation_id }, "Revocation failed"),
      );
    }
  }

  function forget(before: number): void {
    for (const [id, at] of done) if (at < before) done.delete(id);
  }

  const followed = await follow({
    what: "revoked remote diagnostics",
    changedSince: (since) => revocationsSince(db, since, RECENT_MS),
    apply(rows) {
      takeUp(rows);
      const newest = Math.max(...rows.map(({ changed_at }) => changed_at.getTime()));
      forget(newest - 2 * RECENT_MS);
    },
    everyMs,
    log,
  });
  started = true;

  return {
    onRevoked: (listener) => void listeners.push(listener),
    async revoke(wanted) {
      const revocation_id = randomUUIDv7();
      // It must not be taken up a second time before it is known here.
      done.set(revocation_id, Number.MAX_SAFE_INTEGER);
      const revocation = await insertRevocation(db, { ...wanted, revocation_id });
      await carryOut(revocation);
      return revocation;
    },
    stop: followed.stop,
  };
}
