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
  /** Sends JSON text as it is. @throws GatewayError */
  post<S extends TSchema>(path: string, body: Uint8Array, schema: S): Promise<Static<S>>;
  close(): Promise<void>;
}

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
  const send = (method: "GET" | "POST", path: string, body?: Uint8Array) =>
    exchange({ dispatcher, token, base: url }, method, path, body);
  return {
    get: async (path, schema) => parse(accepted(path, await send("GET", path)), path, schema),
    file: async (path) => accepted(path, await send("GET", path)),
    post: async (path, body, schema) =>
      parse(accepted(path, await send("POST", path, body)), path, schema),
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

async function exchange(
  { dispatcher, token, base }: { dispatcher: Agent; token: string; base: string },
  method: "GET" | "POST",
  path: string,
  body?: Uint8Array,
): Promise<Answer> {
  try {
    const url = new URL(`api/v1${path}`, base.endsWith("/") ? base : `${base}/`);
    const answer = await request(url, {
      method,
      dispatcher,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body && { "content-type": "application/json" }),
      },
      body: body ?? null,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const parts: Buffer[] = [];
    let length = 0;
    for await (const part of answer.body as AsyncIterable<Buffer>) {
      length += part.length;
      if (length > MAX_ANSWER_BYTES) throw new Error("the answer has no end");
      parts.push(part);
    }
    return { status: answer.statusCode, bytes: Buffer.concat(parts) };
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    throw new GatewayError("GATEWAY_UNREACHABLE", `${base}: ${message || code}`);
  }
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
