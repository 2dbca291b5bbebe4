import { EventEmitter, once } from "node:events";
import type { AddressInfo } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import Fastify from "fastify";
import { expect, it, onTestFinished } from "vitest";
import { eventStreams, type StreamedEvent } from "#server/http/event-stream.ts";

async function* endless(signal: AbortSignal): AsyncGenerator<StreamedEvent> {
  for (let id = 1; !signal.aborted; id++) {
    await turn();
    yield { id: String(id), event: "tick", data: id };
  }
}

async function* silent(signal: AbortSignal): AsyncGenerator<StreamedEvent> {
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
  yield { event: "late", data: null };
}

it.each([
  ["never silent", endless],
  ["always silent", silent],
])("a stream that is %s ends when its reader may not go on", async (_, source) => {
  const http = Fastify();
  onTestFinished(() => http.close());
  let asked = 0;
  const streams = eventStreams(http, 10);
  http.get("/events", async (_request, reply) =>
    streams.send(reply, source, async () => ++asked < 3),
  );
  await http.listen({ host: "127.0.0.1", port: 0 });
  const { port } = http.server.address() as AddressInfo;
  const response = await fetch(`http://127.0.0.1:${port}/events`);
  expect(response.headers.get("content-type")).toContain("text/event-stream");
  for await (const chunk of response.body ?? []) expect(chunk.length).toBeGreaterThan(0);
  expect(asked).toBe(3);
});

it("a listener has so many open at once, and another one when it has left one", async () => {
  const http = Fastify({ forceCloseConnections: true });
  onTestFinished(() => http.close());
  const streams = eventStreams(http);
  const left = new EventEmitter();
  http.get("/events", async (_request, reply) => {
    reply.raw.once("close", () => left.emit("one"));
    return streams.send(reply, silent, async () => true);
  });
  await http.listen({ host: "127.0.0.1", port: 0 });
  const { port } = http.server.address() as AddressInfo;
  const leaving = new AbortController();
  const listen = (signal: AbortSignal | null = null) =>
    fetch(`http://127.0.0.1:${port}/events`, { signal });
  const first = await listen(leaving.signal);
  const others = await Promise.all(Array.from({ length: 19 }, () => listen()));
  expect([first, ...others].map(({ status }) => status)).toEqual(Array(20).fill(200));
  const refused = await listen();
  expect(await refused.json()).toMatchObject({ code: "STREAMS_TOO_MANY" });
  // That of the answer which was refused has come.
  const gone = once(left, "one");
  leaving.abort();
  await gone;
  const next = await listen();
  expect(next.status).toBe(200);
});
