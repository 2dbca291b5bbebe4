import type { TSchema, Static } from "typebox";
import { Compile } from "typebox/compile";
import { Agent, request } from "undici";
import type { Problem } from "#protocol/api/problem.ts";
import { GatewayError, type FilterMistake } from "./gateway-error.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** A request to the gateway's REST API. */
export interface Sent {
  method: Method;
  /** Behind `/api/v1`, with its query. */
  path: string;
  body?: Uint8Array | AsyncIterable<Uint8Array> | undefined;
  /** By default that of JSON. */
  headers?: Record<string, string>;
  token?: string | undefined;
  /** For as long as something comes, however long that is: milliseconds between two pieces; 0 for ever. */
  idleMs?: number;
  signal?: AbortSignal;
}

export interface Received {
  status: number;
  body: AsyncIterable<Buffer>;
}

export interface GatewayClient {
  readonly url: string;
  /** @throws GatewayError GATEWAY_UNREACHABLE */
  send(sent: Sent): Promise<Received>;
  close(): Promise<void>;
}

const TIMEOUT_MS = 60_000;

/** @param ca PEM of the authorities that the gateway's certificate may be of; by default the system's */
export function openClient(url: string, ca: Buffer | undefined): GatewayClient {
  const connect = { minVersion: "TLSv1.3" as const, ...(ca && { ca }) };
  const dispatcher = new Agent({ connect });
  const base = url.endsWith("/") ? url : `${url}/`;
  return {
    url,
    async send({ method, path, body, token, headers = JSON_TYPE, idleMs, signal }) {
      const limits =
        idleMs === undefined
          ? { signal: signal ?? AbortSignal.timeout(TIMEOUT_MS) }
          : { headersTimeout: TIMEOUT_MS, bodyTimeout: idleMs, signal: signal ?? null };
      try {
        const { statusCode, body: answer } = await request(new URL(`api/v1${path}`, base), {
          method,
          ...limits,
          dispatcher,
          headers: {
            ...(token !== undefined && { authorization: `Bearer ${token}` }),
            ...(body && headers),
          },
          body: (body ?? null) as Uint8Array | null,
        });
        return { status: statusCode, body: parts(url, answer) };
      } catch (error) {
        throw unreachable(url, error);
      }
    },
    close: () => dispatcher.close(),
  };
}

const JSON_TYPE = { "content-type": "application/json" };

async function* parts(url: string, body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* body;
  } catch (error) {
    throw unreachable(url, error);
  }
}

function unreachable(url: string, error: unknown): GatewayError {
  const { message, code } = error as NodeJS.ErrnoException;
  return new GatewayError("GATEWAY_UNREACHABLE", `${url}: ${message || code}`);
}

/** More than the largest metadata there is. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/** The whole body of an answer that says yes. @throws GatewayError with the gateway's own code */
export async function accepted(sent: Sent, { status, body }: Received): Promise<Buffer> {
  const kept: Buffer[] = [];
  let length = 0;
  for await (const part of body) {
    length += part.length;
    if (length > MAX_ANSWER_BYTES) throw notOurs(sent.path, "the answer has no end");
    kept.push(part);
  }
  const bytes = Buffer.concat(kept);
  if (status >= 200 && status < 300) return bytes;
  throw refusal(sent, status, readJson(bytes));
}

function refusal(sent: Sent, status: number, answer: unknown): GatewayError {
  const { code, title, detail, reason, position } = (answer ?? {}) as Partial<Problem>;
  if (typeof code !== "string") return notOurs(sent.path, `status ${status}`);
  const text = [title, detail].filter((part) => typeof part === "string").join(": ");
  const path = sent.path.replace(/\?.*/s, "");
  return new GatewayError(reason ?? code, `${path}: ${text}`, mistake(sent, position));
}

/** What was sent is at hand to be shown with the place of the mistake in it. */
function mistake(sent: Sent, position: Problem["position"]): FilterMistake | undefined {
  if (position === undefined) return undefined;
  const body = sent.body instanceof Uint8Array ? readJson(Buffer.from(sent.body)) : undefined;
  const query = new URL(sent.path, "https://gateway").searchParams.get("filter");
  const text = query ?? (body as { filter?: unknown } | undefined)?.filter;
  return typeof text === "string" ? { text, position } : undefined;
}

/** @throws GatewayError GATEWAY_ANSWER_INVALID */
export function parse<S extends TSchema>(bytes: Buffer, path: string, schema: S): Static<S> {
  const value = readJson(bytes);
  if (!Compile(schema).Check(value)) throw notOurs(path, "an answer of another shape");
  return value;
}

function readJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    return undefined;
  }
}

function notOurs(path: string, what: string): GatewayError {
  return new GatewayError("GATEWAY_ANSWER_INVALID", `${path}: ${what}`);
}
