import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { FastifyReply } from "fastify";
import type { Http } from "./http.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Goes on until the client leaves: not counted as work under way. */
    stream?: boolean;
  }
}

/** An event of the WHATWG's server-sent events; `data` goes out as JSON. */
export interface StreamedEvent {
  /** What a client that comes back says in Last-Event-ID. */
  id?: string | undefined;
  event: string;
  data: unknown;
}

/** Where the events come from. The signal is aborted when nobody listens any more. */
export type EventSource = (signal: AbortSignal) => AsyncIterable<StreamedEvent>;

export interface EventStreams {
  /**
   * Answers with a stream of events that ends with its source, with the gateway, when the client
   * leaves, or when `mayGoOn` says no; that is asked with every sign of life.
   */
  send(reply: FastifyReply, events: EventSource, mayGoOn: () => Promise<boolean>): FastifyReply;
}

/** Signs of life: proxies and browsers give up on a connection that is silent for a minute. */
const ALIVE_MS = 15_000;

/** For the routes of one plugin. */
export function eventStreams(http: Http): EventStreams {
  const stopping = new AbortController();
  http.addHook("preClose", async () => stopping.abort());
  return {
    send(reply, events, mayGoOn) {
      const left = new AbortController();
      reply.raw.once("close", () => left.abort());
      const signal = AbortSignal.any([stopping.signal, left.signal]);
      return reply
        .type("text/event-stream; charset=utf-8")
        .header("cache-control", "no-store")
        .send(Readable.from(lines(events(signal), signal, mayGoOn), { objectMode: false }));
    },
  };
}

async function* lines(
  events: AsyncIterable<StreamedEvent>,
  signal: AbortSignal,
  mayGoOn: () => Promise<boolean>,
): AsyncGenerator<string> {
  const source = events[Symbol.asyncIterator]();
  // Sends the headers.
  yield ": connected\n\n";
  let next = source.next();
  while (!signal.aborted) {
    const timer = new AbortController();
    const alive = delay(ALIVE_MS, undefined, {
      signal: AbortSignal.any([signal, timer.signal]),
      ref: false,
    }).catch(() => undefined);
    const result = await Promise.race([next, alive]);
    timer.abort();
    if (result === undefined) {
      if (signal.aborted || !(await mayGoOn())) return;
      yield ": alive\n\n";
      continue;
    }
    if (result.done === true) return;
    yield encode(result.value);
    next = source.next();
  }
}

function encode({ id, event, data }: StreamedEvent): string {
  return `${id === undefined ? "" : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
