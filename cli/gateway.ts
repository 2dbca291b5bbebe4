import type { TSchema, Static } from "typebox";
import { accepted, openClient, parse, type Method, type Sent } from "./gateway-client.ts";
import { credentialsOf } from "./session.ts";

/** An operator at the gateway's REST API. */
export interface Gateway {
  /** @throws GatewayError */
  get<S extends TSchema>(path: string, schema: S): Promise<Static<S>>;
  /** What the answer's body is, as it is. @throws GatewayError */
  file(path: string): Promise<Buffer>;
  /**
   * The same of a body of any length, as it comes.
   * @param idleMs given up when nothing has come for so long; 0: never
   * @throws GatewayError
   */
  stream(path: string, options?: Streaming): Promise<AsyncIterable<Buffer>>;
  /** Sends JSON text as it is. @throws GatewayError */
  post<S extends TSchema>(path: string, body: Uint8Array, schema: S): Promise<Static<S>>;
  /** Sends JSON. @throws GatewayError */
  send<S extends TSchema>(
    method: Method,
    path: string,
    body: unknown,
    schema: S,
  ): Promise<Static<S>>;
  /** Sends bytes of another type as they come. @throws GatewayError */
  upload<S extends TSchema>(
    method: Method,
    path: string,
    body: Upload,
    schema: S,
  ): Promise<Static<S>>;
  /** Sends JSON, or nothing, where the answer has no body. @throws GatewayError */
  tell(method: Method, path: string, body?: unknown): Promise<void>;
  /** @throws GatewayError */
  delete(path: string): Promise<void>;
  close(): Promise<void>;
}

interface Streaming {
  idleMs?: number;
  signal?: AbortSignal;
}

/** A body with its headers. */
export interface Upload {
  headers: Record<string, string>;
  body: Uint8Array | AsyncIterable<Uint8Array>;
}

/** The longest silence of either side while something large is on its way. */
const IDLE_MS = 60_000;
/** What is received is stored before it is answered. */
const STORING_MS = 600_000;

/**
 * The gateway that the environment names: `LATTICEWAY_URL`, with the token in `LATTICEWAY_TOKEN`;
 * `LATTICEWAY_CA` is a PEM file with the authorities that its certificate may be of. Without a token
 * there, the one that `latticeway login` has gone to.
 * @throws GatewayError GATEWAY_UNNAMED, LOGIN_MISSING
 */
export async function openGateway(env: NodeJS.ProcessEnv): Promise<Gateway> {
  const credentials = await credentialsOf(env);
  const client = openClient(credentials.url, credentials.ca);

  const once = async (sent: Sent, refused?: string) => {
    const token = await credentials.token(refused);
    return { token, received: await client.send({ ...sent, token }) };
  };
  /** A session's token may have been replaced by another command's since, or the clock be wrong. */
  const send = async (sent: Sent) => {
    const first = await once(sent);
    const isRepeatable = sent.body === undefined || sent.body instanceof Uint8Array;
    if (first.received.status !== 401 || !credentials.renews || !isRepeatable) {
      return first.received;
    }
    for await (const _ of first.received.body);
    return (await once(sent, first.token)).received;
  };
  const whole = async (sent: Sent) => accepted(sent, await send(sent));

  return {
    get: async (path, schema) => parse(await whole({ method: "GET", path }), path, schema),
    file: async (path) => whole({ method: "GET", path }),
    async stream(path, { idleMs = IDLE_MS, ...options } = {}) {
      const sent = { method: "GET", path, idleMs, ...options } as const;
      const received = await send(sent);
      if (received.status !== 200) await accepted(sent, received);
      return received.body;
    },
    post: async (path, body, schema) =>
      parse(await whole({ method: "POST", path, body }), path, schema),
    async send(method, path, body, schema) {
      return parse(await whole({ method, path, body: json(body) }), path, schema);
    },
    async tell(method, path, body) {
      await whole({ method, path, body: json(body) });
    },
    upload: async (method, path, { headers, body }, schema) =>
      parse(await whole({ method, path, headers, body, idleMs: STORING_MS }), path, schema),
    async delete(path) {
      await whole({ method: "DELETE", path });
    },
    close: () => client.close(),
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

function json(body: unknown): Buffer | undefined {
  return body === undefined ? undefined : Buffer.from(JSON.stringify(body));
}
