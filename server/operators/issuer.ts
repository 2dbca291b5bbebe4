import { createRemoteJWKSet, customFetch, errors, jwtVerify, type JWTPayload } from "jose";
import type { ServerConfig } from "#config/server.ts";
import type { OperatorLevel, Role } from "#protocol/api/operator.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Log } from "#server/runtime/log.ts";

/** Whom the issuer vouches for. */
export interface Identity {
  issuer: string;
  /** What the issuer never gives to anybody else. */
  subject: string;
  name: string;
  role: Role;
  diagnostic_level: OperatorLevel | null;
  expiresAt: Date;
  /** How long that is good for what the gateway has given, in seconds. */
  vouched_s: number;
}

/** An OpenID Connect issuer. */
export interface Issuer {
  /** @throws ProblemError TOKEN_INVALID, OIDC_ROLE_MISSING, OIDC_UNAVAILABLE */
  verifyAccessToken(token: string): Promise<Identity>;
  /** @throws ProblemError as above, OIDC_OFF */
  verifyIdToken(token: string): Promise<Identity>;
}

export interface IssuerDeps {
  config: ServerConfig["oidc"];
  log: Log;
  /** How soon after its keys were read a key that is not among them has them read again. */
  cooldownMs?: number;
}

/** Signatures alone: with a MAC whoever knows the public key could make tokens. */
const algorithms = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"],
  ...["Ed25519", "EdDSA", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"],
];
/** An ID token is for logging in right after it was made. */
const ID_TOKEN_AGE_S = 600;
const MAX_SUBJECT = 255;
const MAX_TOKEN = 16_384;
const MAX_ANSWER = 1_048_576;
const TIMEOUT_MS = 5000;
/** An issuer that failed is not asked again before. */
const FAILED_MS = 5000;

/** Whether what was shown can be an issuer's token at all. */
export function looksIssued(token: string): boolean {
  return token.length <= MAX_TOKEN && /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/.test(token);
}

/** Verifies an issuer's tokens by its published keys. */
export function createIssuer({ config, log, cooldownMs = 30_000 }: IssuerDeps): Issuer {
  const last = { failedAt: Number.NEGATIVE_INFINITY };
  const read = boundedFetch(last);
  let keys: Promise<ReturnType<typeof createRemoteJWKSet>> | undefined;
  const keySet = () =>
    (keys ??= keysAddress(config.issuer, read).then(
      (address) =>
        createRemoteJWKSet(address, {
          [customFetch]: read,
          timeoutDuration: TIMEOUT_MS,
          cooldownDuration: cooldownMs,
        }),
      (error: unknown) => {
        keys = undefined;
        last.failedAt = performance.now();
        throw error;
      },
    ));

  async function verify(token: string, audience: string, maxTokenAge?: number) {
    if (!looksIssued(token)) throw new ProblemError("TOKEN_INVALID");
    try {
      const { payload, protectedHeader } = await jwtVerify(token, await keySet(), {
        algorithms,
        issuer: config.issuer,
        audience,
        requiredClaims: ["exp", "sub"],
        clockTolerance: config.clock_tolerance_s,
        ...(maxTokenAge !== undefined && { maxTokenAge }),
      });
      return { payload, typ: protectedHeader.typ };
    } catch (error) {
      throw refusal(error, log);
    }
  }

  return {
    async verifyAccessToken(token) {
      if (config.audience === "") throw new ProblemError("TOKEN_INVALID");
      const { payload, typ } = await verify(token, config.audience);
      demandKind(typ, /^(application\/)?(JWT|at\+jwt)$/i);
      return identity(payload, config);
    },
    async verifyIdToken(token) {
      if (config.client_id === "") throw new ProblemError("OIDC_OFF");
      const { payload, typ } = await verify(token, config.client_id, ID_TOKEN_AGE_S);
      demandKind(typ, /^(application\/)?JWT$/i);
      demandParty(payload, config.client_id);
      return identity(payload, config);
    },
  };
}

/**
 * OpenID Connect Core 1.0 §3.1.3.7: an ID token for several says for whom it was made, and made for
 * another client it is not for us, whatever its audience says.
 */
function demandParty({ aud, azp }: JWTPayload, clientId: string): void {
  const isForSeveral = Array.isArray(aud) && aud.length > 1;
  if ((azp !== undefined || isForSeveral) && azp !== clientId) {
    throw new ProblemError("TOKEN_INVALID", 'unexpected "azp" claim value');
  }
}

/** Other kinds of JWT that an issuer signs, such as logout tokens, say nobody's name. */
function demandKind(typ: string | undefined, kinds: RegExp): void {
  if (typ !== undefined && !kinds.test(typ)) {
    throw new ProblemError("TOKEN_INVALID", `unexpected "typ" ${JSON.stringify(typ.slice(0, 64))}`);
  }
}

function identity(payload: JWTPayload, config: ServerConfig["oidc"]): Identity {
  const name = claim(payload, config.name_claim);
  if (typeof name !== "string") {
    throw new ProblemError("TOKEN_INVALID", `it has no claim ${config.name_claim}`);
  }
  const { sub: subject } = payload;
  // OpenID Connect Core 1.0 §2. Anything else would be one and the same as text.
  if (typeof subject !== "string" || subject === "" || subject.length > MAX_SUBJECT) {
    throw new ProblemError("TOKEN_INVALID", 'unexpected "sub" claim value');
  }
  const groups = [claim(payload, config.role_claim)].flat();
  const role = firstOf(config.roles, groups);
  if (role === undefined) throw new ProblemError("OIDC_ROLE_MISSING");
  return {
    issuer: config.issuer,
    subject,
    name,
    role,
    diagnostic_level: firstOf(config.levels, groups) ?? null,
    expiresAt: new Date(Number(payload.exp) * 1000),
    vouched_s: Math.round(config.vouched_h * 3600),
  };
}

/** By its name, or by the path to it within others: `realm_access.roles`. */
function claim(payload: JWTPayload, name: string): unknown {
  if (Object.hasOwn(payload, name)) return payload[name];
  let value: unknown = payload;
  for (const part of name.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) {
      return undefined;
    }
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}

/** In the order of the configuration. */
function firstOf<Value>(mapping: Record<string, Value>, groups: unknown[]): Value | undefined {
  return Object.entries(mapping).find(([group]) => groups.includes(group))?.[1];
}

function refusal(error: unknown, log: Log): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error instanceof errors.JOSEError && !isUnreachable(error)) {
    return new ProblemError("TOKEN_INVALID", error.message);
  }
  log.warn({ err: error, code: "OIDC_UNAVAILABLE" }, "The OIDC issuer can't be asked");
  return new ProblemError("OIDC_UNAVAILABLE");
}

/** Whether an issuer does not answer, or not with keys. */
function isUnreachable(error: errors.JOSEError): boolean {
  const { JWKSTimeout, JWKSInvalid, JOSEError } = errors;
  return [JWKSTimeout.code, JWKSInvalid.code, JOSEError.code].includes(error.code);
}

type Read = (url: string, init: RequestInit) => Promise<Response>;

/** OpenID Connect Discovery 1.0 §4. */
async function keysAddress(issuer: string, read: Read): Promise<URL> {
  const address = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const answer = await read(address, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  const found = (await answer.json()) as Record<string, unknown>;
  if (found["issuer"] !== issuer) throw new Error(`${address} is not that of ${issuer}`);
  const url = new URL(String(found["jwks_uri"]));
  if (url.protocol !== "https:" && new URL(issuer).protocol === "https:") {
    throw new Error(`keys come over https, not from ${url.href}`);
  }
  return url;
}

/** Takes no more than a bounded answer, follows nobody elsewhere, and spares who has failed. */
function boundedFetch(last: { failedAt: number }): Read {
  return async (url, init) => {
    if (performance.now() - last.failedAt < FAILED_MS) throw new Error("it has just failed");
    try {
      const answer = await fetch(url, { ...init, redirect: "error" });
      if (answer.status !== 200) throw new Error(`${url} answers ${answer.status}`);
      return new Response(await bounded(answer));
    } catch (error) {
      last.failedAt = performance.now();
      throw error;
    }
  };
}

async function bounded({ body }: Response): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body ?? []) {
    length += chunk.length;
    if (length > MAX_ANSWER) throw new Error(`its answer has more than ${MAX_ANSWER} bytes`);
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}
