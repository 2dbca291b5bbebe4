import { TLSSocket, type ConnectionOptions } from "node:tls";
import type { Static, TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { Agent, buildConnector, errors, type Dispatcher } from "undici";
import { negotiated, type Negotiated } from "#crypto/negotiated.ts";
import { IssuedCertificate } from "#protocol/api/certificate.ts";
import { CheckAnswer, PackageAnswer, VciAnswer } from "#protocol/api/ota.ts";
import { ReadinessAnswer, type ReadinessRequest } from "#protocol/api/readiness.ts";
import { Problem } from "#protocol/api/problem.ts";
import type { Vci } from "#protocol/api/vci.ts";
import { Vehicle, type RegisterRequest } from "#protocol/api/vehicle.ts";
import { backoffMs, type Backoff, type Pace } from "./pace.ts";

/** The gateway refused a request (`code` of its problem document) or could not be talked to. */
export class GatewayError extends Error {
  /** As in docs/errors.md, or GATEWAY_UNREACHABLE or GATEWAY_ANSWER_INVALID. */
  readonly code: string;
  /** HTTP status; undefined when no answer came. */
  readonly status: number | undefined;
  /** Whether the same request may succeed later. */
  readonly temporary: boolean;
  /** When the gateway would grant it. */
  readonly retryAfterS: number | undefined;

  constructor(code: string, message: string, cause: GatewayErrorCause = {}) {
    super(message, { cause: cause.error });
    this.name = "GatewayError";
    this.code = code;
    this.status = cause.status;
    this.temporary = cause.temporary ?? false;
    this.retryAfterS = cause.retryAfterS;
  }
}

interface GatewayErrorCause {
  error?: unknown;
  status?: number;
  temporary?: boolean;
  retryAfterS?: number | undefined;
}

export interface GatewaySettings extends Backoff {
  /** `https://host:port` */
  https_url: string;
  timeout_ms: number;
}

export interface GatewayClientDeps {
  settings: GatewaySettings;
  tls: ConnectionOptions;
  vin: string;
  pace: Pace;
  /** Called for every new TLS connection. */
  onConnected?: (connection: Negotiated) => void;
}

/** One part of a file, as the gateway sends it. */
export interface FilePart {
  status: number;
  etag: string | undefined;
  /** First byte and whole length as in Content-Range; for a whole file 0 and Content-Length. */
  offset: number;
  total: number | undefined;
  body: AsyncIterable<Uint8Array>;
  /** Drops the rest of the body and its connection. */
  discard(): void;
}

export interface GatewayClient {
  register(request: RegisterRequest, signal?: AbortSignal): Promise<Vehicle>;
  submitVci(vci: Vci, signal?: AbortSignal): Promise<VciAnswer>;
  check(ecus: Vci["ecus"], signal?: AbortSignal): Promise<CheckAnswer>;
  /** @param wanted without ECUs all that are outdated; the command that it is for */
  requestPackage(
    wanted?: { ecu_ids?: readonly string[] | undefined; command_id?: string | undefined },
    signal?: AbortSignal,
  ): Promise<PackageAnswer>;
  /** May the vehicle download, or install? */
  askReadiness(request: ReadinessRequest, signal?: AbortSignal): Promise<ReadinessAnswer>;
  /** A single try: whoever downloads resumes. `etag` guards the range (If-Range). */
  openFile(
    path: string,
    range: { offset: number; etag: string | undefined },
    signal?: AbortSignal,
  ): Promise<FilePart>;
  /** The chain for a certificate request, under the certificate of the connection. */
  renewCertificate(csr: string, signal?: AbortSignal): Promise<IssuedCertificate>;
  /** Makes connections anew with these options; requests under way end on those before. */
  useTls(tls: ConnectionOptions): void;
  close(): Promise<void>;
}

const MAX_ANSWER_BYTES = 1024 * 1024;

/**
 * The gateway's vehicle routes over one or two kept-alive TLS connections. Requests are repeated
 * after network errors and 503, with back-off; everything the vehicle posts may be posted twice.
 * Every method throws GatewayError, or the signal's reason when it is aborted.
 */
export function createGatewayClient(deps: GatewayClientDeps): GatewayClient {
  const { settings, vin } = deps;
  let agent = agentFor(deps);
  const post = <Schema extends TSchema>(
    path: string,
    answer: Answer<Schema>,
    body: object,
    signal: AbortSignal | undefined,
  ) => withRetries(deps, signal, () => postOnce(agent, settings, path, answer, body, signal));

  return {
    register: (request, signal) => post("/api/v1/vehicles/register", vehicle, request, signal),
    submitVci: (vci, signal) =>
      post(`/api/v1/vehicles/${encodeURIComponent(vin)}/vci`, vciAnswer, vci, signal),
    check: (ecus, signal) => post("/api/v1/ota/check", checkAnswer, { vin, ecus }, signal),
    requestPackage: ({ ecu_ids, command_id } = {}, signal) =>
      post(
        "/api/v1/ota/package",
        packageAnswer,
        { vin, ...(ecu_ids && { ecu_ids }), ...(command_id && { command_id }) },
        signal,
      ),
    askReadiness: (request, signal) =>
      post("/api/v1/ota/readiness", readinessAnswer, request, signal),
    openFile: (path, range, signal) => openFile(agent, settings, path, range, signal),
    renewCertificate: (csr, signal) =>
      post("/api/v1/certificates/renew", issuedCertificate, { csr }, signal),
    useTls(tls) {
      // Ends when the requests under way have; nobody waits for that.
      agent.close().catch(() => undefined);
      agent = agentFor({ ...deps, tls });
    },
    close: () => agent.destroy(),
  };
}

function agentFor(deps: GatewayClientDeps): Agent {
  const { timeout_ms } = deps.settings;
  return new Agent({
    connect: connector(deps),
    connections: 2,
    headersTimeout: timeout_ms,
    bodyTimeout: timeout_ms,
    allowH2: false,
  });
}

type Answer<Schema extends TSchema> = (body: Buffer) => Static<Schema>;

const vehicle = parser(Vehicle);
const vciAnswer = parser(VciAnswer);
const checkAnswer = parser(CheckAnswer);
const packageAnswer = parser(PackageAnswer);
const readinessAnswer = parser(ReadinessAnswer);
const issuedCertificate = parser(IssuedCertificate);
const problem = parser(Problem);

function parser<Schema extends TSchema>(schema: Schema): Answer<Schema> {
  const validator = Compile(schema);
  return (body) => {
    let value: unknown;
    try {
      value = JSON.parse(body.toString("utf8"));
    } catch (error) {
      throw new GatewayError("GATEWAY_ANSWER_INVALID", "the answer is not JSON", { error });
    }
    if (validator.Check(value)) return value;
    const [first] = validator.Errors(value);
    throw new GatewayError(
      "GATEWAY_ANSWER_INVALID",
      `the answer does not fit its schema: ${first?.instancePath} ${first?.message}`,
    );
  };
}

function connector({ tls, settings, onConnected }: GatewayClientDeps): buildConnector.connector {
  const connect = buildConnector({
    ...(tls as buildConnector.BuildOptions),
    timeout: settings.timeout_ms,
    allowH2: false,
  });
  return (options, callback) =>
    connect(options, (...result) => {
      const [error, socket] = result;
      if (error === null && socket instanceof TLSSocket) onConnected?.(negotiated(socket));
      callback(...result);
    });
}

async function withRetries<Result>(
  { settings, pace }: GatewayClientDeps,
  signal: AbortSignal | undefined,
  work: () => Promise<Result>,
): Promise<Result> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      const again = error instanceof GatewayError && error.temporary;
      if (!again || attempt >= settings.retries) throw error;
      await pace.wait(backoffMs(attempt, settings, pace.random), signal);
    }
  }
}

async function postOnce<Schema extends TSchema>(
  agent: Agent,
  settings: GatewaySettings,
  path: string,
  answer: Answer<Schema>,
  body: object,
  signal: AbortSignal | undefined,
): Promise<Static<Schema>> {
  const response = await send(agent, settings, {
    path,
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  const bytes = await readAll(response.body);
  if (response.statusCode >= 200 && response.statusCode < 300) return answer(bytes);
  throw refusal(response, bytes);
}

type Request = Omit<Dispatcher.RequestOptions, "origin" | "signal"> & {
  signal: AbortSignal | undefined;
};

async function send(
  agent: Agent,
  settings: GatewaySettings,
  { signal, ...request }: Request,
): Promise<Dispatcher.ResponseData> {
  try {
    return await agent.request({
      ...request,
      origin: new URL(settings.https_url).origin,
      ...(signal && { signal }),
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw unreachable(error);
  }
}

async function openFile(
  agent: Agent,
  settings: GatewaySettings,
  path: string,
  { offset, etag }: { offset: number; etag: string | undefined },
  signal: AbortSignal | undefined,
): Promise<FilePart> {
  const ranged = offset > 0 && etag !== undefined;
  const response = await send(agent, settings, {
    path,
    method: "GET",
    headers: ranged ? { range: `bytes=${offset}-`, "if-range": etag } : {},
    signal,
  });
  const { statusCode: status, headers, body } = response;
  if (status !== 200 && status !== 206) throw refusal(response, await readAll(body));
  const range = /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15})$/.exec(String(headers["content-range"]));
  const length = headers["content-length"];
  return {
    status,
    etag: typeof headers["etag"] === "string" ? headers["etag"] : undefined,
    offset: status === 206 ? Number(range?.[1] ?? Number.NaN) : 0,
    total: Number((status === 206 ? range?.[2] : length) ?? Number.NaN) || undefined,
    body: readable(body, signal),
    discard: () => void body.on("error", () => {}).destroy(),
  };
}

async function* readable(
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    signal?.throwIfAborted();
    throw unreachable(error);
  }
}

async function readAll(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const part of body) {
      length += part.length;
      if (length > MAX_ANSWER_BYTES) {
        throw new GatewayError("GATEWAY_ANSWER_INVALID", "the answer is too long");
      }
      parts.push(part);
    }
  } catch (error) {
    throw error instanceof GatewayError ? error : unreachable(error);
  }
  return Buffer.concat(parts);
}

function refusal({ statusCode: status }: Dispatcher.ResponseData, body: Buffer): GatewayError {
  // 502 to 504 also come from a balancer in front of the gateway, without a problem document.
  const temporary = status === 429 || (status >= 502 && status <= 504);
  try {
    const { code, title, detail, retry_after_s: retryAfterS } = problem(body);
    return new GatewayError(code, detail ?? title, { status, temporary, retryAfterS });
  } catch {
    return new GatewayError("GATEWAY_ANSWER_INVALID", `HTTP ${status} without a problem document`, {
      status,
      temporary,
    });
  }
}

/** A closed client is the agent stopping; everything else may be over in a moment. */
function unreachable(error: unknown): GatewayError {
  const message = error instanceof Error ? error.message : String(error);
  const temporary = !(
    error instanceof errors.ClientDestroyedError || error instanceof errors.ClientClosedError
  );
  return new GatewayError("GATEWAY_UNREACHABLE", `the gateway can't be reached: ${message}`, {
    error,
    temporary,
  });
}
