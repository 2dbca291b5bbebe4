import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { FastifyReply, FastifyRequest } from "fastify";
import { ProblemError } from "#protocol/api/problem.ts";
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
   * leaves, or when `mayGoOn` says no; that is asked as often as a sign of life is due, however
   * many events come in between.
   * @throws ProblemError STREAMS_TOO_MANY
   */
  send(reply: FastifyReply, events: EventSource, mayGoOn: () => Promise<boolean>): FastifyReply;
}

/** Signs of life: proxies and browsers give up on a connection that is silent for a minute. */
const ALIVE_MS = 15_000;

/** Of one operator at once: each looks into the database whenever there is something new. */
const MOST_OPEN = 20;

/** For the routes of one plugin. @param aliveMs between two signs of life of a silent stream */
export function eventStreams(http: Http, aliveMs: number = ALIVE_MS): EventStreams {
  const stopping = new AbortController();
  http.addHook("preClose", async () => stopping.abort());
  const open = new Map<string, number>();

  function count(listener: string, by: 1 | -1): void {
    const now = (open.get(listener) ?? 0) + by;
    if (now > MOST_OPEN) throw new ProblemError("STREAMS_TOO_MANY", `${MOST_OPEN} are open`);
    if (now > 0) open.set(listener, now);
    else open.delete(listener);
  }

  return {
    send(reply, events, mayGoOn) {
      const left = new AbortController();
      const listener = listenerOf(reply.request);
      count(listener, 1);
      const leave = () => {
        count(listener, -1);
        left.abort();
      };
      // Whoever has left already closes nothing any more.
      if (reply.raw.destroyed) leave();
      else reply.raw.once("close", leave);
      const signal = AbortSignal.any([stopping.signal, left.signal]);
      return reply
        .type("text/event-stream; charset=utf-8")
        .header("cache-control", "no-store")
        .send(
          Readable.from(lines(events(signal), signal, { mayGoOn, aliveMs }), { objectMode: false }),
        );
    },
  };
}

function listenerOf({ caller, ip }: FastifyRequest): string {
  return caller?.kind === "operator" ? `operator:${caller.operator.name}` : ip;
}

async function* lines(
  events: AsyncIterable<StreamedEvent>,
  signal: AbortSignal,
  { mayGoOn, aliveMs }: { mayGoOn: () => Promise<boolean>; aliveMs: number },
): AsyncGenerator<string> {
  const source = events[Symbol.asyncIterator]();
  // Sends the headers.
  yield ": connected\n\n";
  let next = source.next();
  let due = performance.now() + aliveMs;
  while (!signal.aborted) {
    const timer = new AbortController();
    const alive = delay(Math.max(0, due - performance.now()), undefined, {
      signal: AbortSignal.any([signal, timer.signal]),
      ref: false,
    }).catch(() => undefined);
    const result = await Promise.race([next, alive]);
    timer.abort();
    if (performance.now() >= due || result === undefined) {
      if (signal.aborted || !(await mayGoOn())) return;
      due = performance.now() + aliveMs;
    }
    if (result === undefined) {
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
