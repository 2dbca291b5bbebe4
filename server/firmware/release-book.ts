import { isDeepStrictEqual } from "node:util";
import type { Db } from "#server/database/connection.ts";
import { followBy } from "#server/database/follow.ts";
import type { Log } from "#server/runtime/log.ts";
import { releaseChanges, type ReleaseChange } from "./queries.ts";
import type { Release } from "./release.ts";

/** All active, published releases at one moment; never changed. */
export interface Releases {
  /** Rises with every change that planning can see. */
  revision: number;
  byType: ReadonlyMap<string, readonly Release[]>;
  byId: ReadonlyMap<string, Release>;
}

/** The catalogue in memory, as planning sees it. */
export interface ReleaseBook {
  current(): Releases;
  /** Takes up what has changed in the database. */
  refresh(): Promise<void>;
  stop(): void;
}

/**
 * Reads the catalogue, then follows it.
 * @param deps.everyMs how often another gateway's changes are looked for; undefined where there is
 *   none
 * @throws the database's error when the first reading fails
 */
export async function openReleaseBook(deps: {
  db: Db;
  everyMs: number | undefined;
  log: Log;
}): Promise<ReleaseBook> {
  const { db, everyMs, log } = deps;
  let releases: Releases = { revision: 0, byType: new Map(), byId: new Map() };
  let position: string | undefined;
  const followed = await followBy({
    what: "the firmware catalogue",
    async read() {
      const read = await releaseChanges(db, position);
      position = read.position;
      releases = withChanges(releases, read.changes);
    },
    everyMs,
    log,
  });
  return {
    current: () => releases,
    refresh: () => followed.refresh(),
    stop: () => followed.stop(),
  };
}

/** @returns the same when no planning can tell the difference */
function withChanges(releases: Releases, changes: readonly ReleaseChange[]): Releases {
  const byId = new Map(releases.byId);
  const types = new Set<string>();
  for (const { firmware_id, release } of changes) {
    const before = byId.get(firmware_id);
    if (isDeepStrictEqual(before, release)) continue;
    for (const each of [before, release]) if (each) types.add(each.ecu_type);
    if (release) byId.set(firmware_id, release);
    else byId.delete(firmware_id);
  }
  if (types.size === 0) return releases;
  const byType = new Map(releases.byType);
  const changed = [...byId.values()].filter(({ ecu_type }) => types.has(ecu_type));
  const grouped = Map.groupBy(changed, ({ ecu_type }) => ecu_type);
  for (const type of types) {
    const left = grouped.get(type);
    if (left) byType.set(type, left);
    else byType.delete(type);
  }
  return { revision: releases.revision + 1, byType, byId };
}
