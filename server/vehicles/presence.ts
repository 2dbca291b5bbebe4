import type { Db } from "#server/database/connection.ts";
import { connectionRecord, type TlsConnection } from "#server/runtime/connection.ts";
import type { Log } from "#server/runtime/log.ts";
import { noteSightings, type Sighting } from "./queries.ts";

export interface Presence {
  /** Notes that a vehicle was heard of; `connection` when it has just connected. */
  seen(vin: string, via?: { connection: TlsConnection; via: "https" | "mqtt" }): void;
  /** Writes what was noted since the last time. */
  flush(): Promise<void>;
}

/**
 * Gathers sightings in memory and writes them in one statement now and then: a row update for every
 * message would cost more than the message.
 */
export function trackPresence(db: Db, log: Log): Presence {
  let noted = new Map<string, Sighting>();
  return {
    seen(vin, on) {
      const connection = on ? connectionRecord(on.connection, on.via) : noted.get(vin)?.connection;
      noted.set(vin, { vin, at: new Date(), connection });
    },
    async flush() {
      if (noted.size === 0) return;
      const sightings = noted;
      noted = new Map();
      try {
        await noteSightings(db, [...sightings.values()]);
      } catch (error) {
        log.error({ err: error }, "Sightings of vehicles could not be stored; trying again");
        for (const [vin, before] of sightings) {
          const after = noted.get(vin);
          noted.set(vin, {
            ...before,
            ...after,
            connection: after?.connection ?? before.connection,
          });
        }
      }
    },
  };
}
