import { sql } from "kysely";
import { ProblemError } from "#protocol/api/problem.ts";
import type { TagAnswer, TagRequest } from "#protocol/api/target.ts";
import type { Db } from "#server/database/connection.ts";
import { tagVehicles } from "#server/vehicles/tag-queries.ts";
import { parseFilter } from "./filter.ts";
import { findVehicles } from "./vehicles.ts";

/** Vehicles that are locked at once. */
const BATCH = 500;

/**
 * Changes the tags of many vehicles, batch by batch: asked again after it broke off, it does the
 * rest. Which vehicles fit is looked up as it goes on.
 * @throws ProblemError FILTER_INVALID, TAGS_TARGET_MISSING
 */
export async function changeTags(db: Db, request: TagRequest): Promise<TagAnswer> {
  const { filter, vins, ...tags } = request;
  if (filter === undefined && vins === undefined) throw new ProblemError("TAGS_TARGET_MISSING");
  const { predicate } = parseFilter(filter ?? "all");
  const where = vins && sql<boolean>`vehicle.vin = any (${vins}::text[])`;
  const answer: TagAnswer = { matched: 0, changed: 0, full: 0 };
  let cursor: string | undefined;
  do {
    const page = await findVehicles(db, predicate, {
      limit: BATCH,
      cursor,
      ...(where ? { where } : {}),
    });
    const { changed, full } = await tagVehicles(db, page.vins, tags);
    answer.matched += page.vins.length;
    answer.changed += changed;
    answer.full += full;
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
  return answer;
}
