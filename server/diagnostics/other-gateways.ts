import type { Db } from "#server/database/connection.ts";
import type { Mqtt } from "#server/mqtt/broker.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Delivery } from "./delivery.ts";
import type { Feed } from "./feed.ts";
import { lastRevision, requestsChangedAfter } from "./queries.ts";

export interface OtherGatewaysDeps {
  db: Db;
  mqtt: Pick<Mqtt, "connection">;
  delivery: Pick<Delivery, "pump">;
  feed: Pick<Feed, "publish">;
  log: Log;
}

/** A change may be committed after so many that have a higher number. */
const LOOK_BACK = 200n;
const AT_ONCE = 2000;

/**
 * Looks every `everyMs` for what gateways of the same database have done with requests: sends what
 * one of them has stored for a vehicle that is connected here, and tells whoever listens here of
 * every change, those of this gateway again.
 * @returns stops it
 */
export function followOtherGateways(
  { db, mqtt, delivery, feed, log }: OtherGatewaysDeps,
  everyMs: number,
): () => void {
  let newest: bigint | undefined;
  let seen = new Set<string>();
  let stopped = false;
  let timer: NodeJS.Timeout;

  async function look(): Promise<void> {
    newest ??= await lastRevision(db);
    const changes = await requestsChangedAfter(db, newest - LOOK_BACK, AT_ONCE);
    const fresh = changes.filter(({ revision }) => !seen.has(revision));
    seen = new Set(changes.map(({ revision }) => revision));
    newest = BigInt(changes.at(-1)?.revision ?? newest);
    if (stopped) return;
    for (const { revision: _, ...change } of fresh) {
      const isHere = mqtt.connection(change.vin) !== undefined;
      if (change.status === "queued" && isHere) delivery.pump(change.vin);
      feed.publish(change);
    }
  }

  function arm(): void {
    timer = setTimeout(() => {
      look()
        .catch((error: unknown) => {
          if (!stopped) log.error({ err: error }, "Diagnostic requests could not be followed");
        })
        .finally(() => {
          if (!stopped) arm();
        });
    }, everyMs).unref();
  }

  arm();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
