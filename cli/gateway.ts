import { readFile } from "node:fs/promises";
import type { TSchema, Static } from "typebox";
import { Compile } from "typebox/compile";
import { Agent, request } from "undici";

/** The gateway can't be reached, refuses, or answers something else than it should. */
export class GatewayError extends Error {
  /** Its own code where it gave one, see docs/errors.md. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = "GatewayError";
    this.code = code;
  }
}

/** An operator at the gateway's REST API. */
export interface Gateway {
  /** @throws GatewayError */
  get<S extends TSchema>(path: string, schema: S): Promise<Static<S>>;
  /** What the answer's body is, as it is. @throws GatewayError */
  file(path: string): Promise<Buffer>;
  /** The same of a body of any length, as it comes. @throws GatewayError */
  stream(path: string): Promise<AsyncIterable<Buffer>>;
  /** Sends JSON text as it is. @throws GatewayError */
  post<S extends TSchema>(path: string, body: Uint8Array, schema: S): Promise<Static<S>>;
  /** @throws GatewayError */
  delete(path: string): Promise<void>;
  close(): Promise<void>;
}

type Method = "GET" | "POST" | "DELETE";

/**
 * The gateway that the environment names: `LATTICEWAY_URL`, with the token in `LATTICEWAY_TOKEN`;
 * `LATTICEWAY_CA` is a PEM file with the authorities that its certificate may be of.
 * @throws GatewayError GATEWAY_UNNAMED
 */
export async function openGateway(env: NodeJS.ProcessEnv): Promise<Gateway> {
  const { LATTICEWAY_URL: url, LATTICEWAY_TOKEN: token, LATTICEWAY_CA: ca } = env;
  if (!url || !token) {
    const what = "set LATTICEWAY_URL, LATTICEWAY_TOKEN and, for a private CA, LATTICEWAY_CA";
    throw new GatewayError("GATEWAY_UNNAMED", what);
  }
  const connect = { minVersion: "TLSv1.3" as const, ...(ca && { ca: await readFile(ca) }) };
  const dispatcher = new Agent({ connect });
  const base = { dispatcher, token, url };
  const send = (method: Method, path: string, body?: Uint8Array) =>
    exchange(base, method, path, body);
  return {
    get: async (path, schema) => parse(accepted(path, await send("GET", path)), path, schema),
    file: async (path) => accepted(path, await send("GET", path)),
    stream: (path) => download(base, path),
    post: async (path, body, schema) =>
      parse(accepted(path, await send("POST", path, body)), path, schema),
    async delete(path) {
      accepted(path, await send("DELETE", path));
    },
    close: () => dispatcher.close(),
  };
}

/** Runs an action with the gateway, and closes the connections after it. */
export async function withGateway<T>(action: (gateway: Gateway) => Promise<T>): Promise<T> {
  const gateway = await openGateway(process.env);
  try {
    return await action(gateway);
  } finally {
    await gateway.close();
  }
}

/** More than the largest metadata there is. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const TIMEOUT_MS = 60_000;

interface Answer {
  status: number;
  bytes: Buffer;
}

interface Base {
  dispatcher: Agent;
  token: string;
  url: string;
}

async function exchange(
  base: Base,
  method: Method,
  path: string,
  body?: Uint8Array,
): Promise<Answer> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const { statusCode, body: answer } = await ask(base, path, { method, signal }, body);
  return { status: statusCode, bytes: await whole(base, answer) };
}

/** For as long as something comes. */
async function download(base: Base, path: string): Promise<AsyncIterable<Buffer>> {
  const limits = { headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS };
  const { statusCode, body } = await ask(base, path, { method: "GET", ...limits });
  if (statusCode !== 200) accepted(path, { status: statusCode, bytes: await whole(base, body) });
  return parts(base, body);
}

async function ask(
  { dispatcher, token, url: base }: Base,
  path: string,
  options: { method: Method; signal?: AbortSignal; bodyTimeout?: number },
  body?: Uint8Array,
) {
  try {
    const url = new URL(`api/v1${path}`, base.endsWith("/") ? base : `${base}/`);
    return await request(url, {
      ...options,
      dispatcher,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body && { "content-type": "application/json" }),
      },
      body: body ?? null,
    });
  } catch (error) {
    throw unreachable(base, error);
  }
}

async function whole(base: Base, body: AsyncIterable<Buffer>): Promise<Buffer> {
  const kept: Buffer[] = [];
  let length = 0;
  for await (const part of parts(base, body)) {
    length += part.length;
    if (length > MAX_ANSWER_BYTES) throw unreachable(base.url, new Error("the answer has no end"));
    kept.push(part);
  }
  return Buffer.concat(kept);
}

async function* parts(base: Base, body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* body;
  } catch (error) {
    throw unreachable(base.url, error);
  }
}

function unreachable(url: string, error: unknown): GatewayError {
  const { message, code } = error as NodeJS.ErrnoException;
  return new GatewayError("GATEWAY_UNREACHABLE", `${url}: ${message || code}`);
}

function accepted(path: string, { status, bytes }: Answer): Buffer {
  if (status >= 200 && status < 300) return bytes;
  const { code, title, detail, reason } = (readJson(bytes) ?? {}) as Record<string, unknown>;
  if (typeof code !== "string") throw notOurs(path, `status ${status}`);
  const text = [title, detail].filter((part) => typeof part === "string").join(": ");
  throw new GatewayError(typeof reason === "string" ? reason : code, `${path}: ${text}`);
}

function parse<S extends TSchema>(bytes: Buffer, path: string, schema: S): Static<S> {
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
