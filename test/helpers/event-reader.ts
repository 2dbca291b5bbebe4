import { readFileSync } from "node:fs";
import { Agent, request } from "undici";
import { serverCa } from "#crypto/pki.ts";
import type { DiagnosticResult } from "#protocol/api/diagnostics.ts";
import type { TestGateway } from "./gateway.ts";

export interface ReadEvent {
  id: string | undefined;
  event: string;
  // What a test listens to; others cast.
  data: DiagnosticResult;
}

/** A client of server-sent events. */
export interface EventReader {
  /** In the order in which they came. */
  readonly events: ReadEvent[];
  /** What was said of a request. */
  statusesOf(requestId: string): string[];
  /** Resolves when the stream is over, however it ended. */
  readonly ended: Promise<void>;
  close(): void;
}

/** Listens to a stream; resolves when it has begun. @throws Error with the status of a refusal */
export async function eventReader(
  gateway: TestGateway,
  path: string,
  { lastEventId, token }: { lastEventId?: string | undefined; token?: string | undefined } = {},
): Promise<EventReader> {
  const ca = await serverCa(gateway.config.certs_dir);
  const dispatcher = new Agent({ connect: { ca }, bodyTimeout: 0 });
  const stop = new AbortController();
  const bearer = token ?? readFileSync(gateway.app.tokenFile, "utf8").trim();
  const { statusCode, body } = await request(`${gateway.url}${path}`, {
    dispatcher,
    signal: stop.signal,
    headers: {
      authorization: `Bearer ${bearer}`,
      accept: "text/event-stream",
      ...(lastEventId !== undefined && { "last-event-id": lastEventId }),
    },
  });
  if (statusCode !== 200) {
    await body.dump();
    await dispatcher.close();
    throw new Error(`the stream was refused with ${statusCode}`);
  }
  const events: ReadEvent[] = [];
  const read = async (): Promise<void> => {
    let text = "";
    for await (const chunk of body as AsyncIterable<Buffer>) {
      text += chunk.toString("utf8");
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = parse(block);
        if (event) events.push(event);
      }
    }
  };
  const readToTheEnd = async (): Promise<void> => {
    try {
      await read();
    } catch {
      // The other side, or the test, has cut it off: that is an end, too.
    }
    await dispatcher.destroy();
  };
  const ended = readToTheEnd();
  return {
    events,
    statusesOf: (id) => events.flatMap(({ data }) => (data.request_id === id ? [data.status] : [])),
    ended,
    close: () => stop.abort(),
  };
}

/** A comment is none. */
function parse(block: string): ReadEvent | undefined {
  const field = (name: string) =>
    block
      .split("\n")
      .find((line) => line.startsWith(`${name}: `))
      ?.slice(name.length + 2);
  const data = field("data");
  if (data === undefined) return undefined;
  return {
    id: field("id"),
    event: field("event") ?? "",
    data: JSON.parse(data) as DiagnosticResult,
  };
}
