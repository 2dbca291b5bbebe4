import type { StreamedEvent } from "#server/http/event-stream.ts";
import type { Feed } from "./feed.ts";
import {
  changedResults,
  revisedResult,
  type ResultFilter,
  type ResultSource,
} from "./result-queries.ts";

const PAGE = 100;
/** Changes that are remembered as told. */
const MOST_TOLD = 1000;

/**
 * Results as they change. With the id of an event: first what has changed since, then on. A result
 * may come again; each event has the whole of it.
 */
export async function* liveResults(
  { feed, ...source }: ResultSource & { feed: Feed },
  filter: ResultFilter,
  after: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<StreamedEvent> {
  const { vin, ecu_id } = filter;
  // From before the first query on: what changes during it comes afterwards.
  const changes = feed.watch(
    (change) =>
      (vin === undefined || change.vin === vin) &&
      (ecu_id === undefined || change.ecu_id === ecu_id),
    signal,
  );
  if (after !== undefined) yield* missed(source, filter, after, signal);
  const told = new Set<string>();
  for await (const requestId of changes) {
    const found = await revisedResult(source, filter, requestId);
    // A change may be heard of more than once.
    if (found === undefined || told.has(found.revision)) continue;
    told.add(found.revision);
    const [oldest] = told;
    if (told.size > MOST_TOLD && oldest !== undefined) told.delete(oldest);
    yield { id: found.revision, event: "result", data: found.result };
  }
}

async function* missed(
  source: ResultSource,
  filter: ResultFilter,
  after: string,
  signal: AbortSignal,
): AsyncGenerator<StreamedEvent> {
  let last = after;
  while (!signal.aborted) {
    const rows = await changedResults(source, filter, last, PAGE);
    for (const { revision, result } of rows) yield { id: revision, event: "result", data: result };
    const newest = rows.at(-1);
    if (newest === undefined || rows.length < PAGE) return;
    last = newest.revision;
  }
}
