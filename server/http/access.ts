import type { FastifyRequest } from "fastify";
import type { OperatorLevel, Role } from "#protocol/api/operator.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { connectionOf, type TlsConnection } from "#server/runtime/connection.ts";
import type { Http } from "./http.ts";

export { operatorLevels, roles } from "#protocol/api/operator.ts";
export type { OperatorLevel, Role } from "#protocol/api/operator.ts";

/** Who may reach into vehicles at all; how far, their level says. */
export const diagnosticRoles = ["diagnostician", "release_manager"] as const satisfies Role[];

export interface Operator {
  name: string;
  role: Role;
  token_id: string;
  diagnostic_level: OperatorLevel;
  /** What of the role the token is for: `{tag}:read`, `{tag}:write` or `*`; all when absent. */
  scopes?: readonly string[];
}

/** What a token has to be for so that it can call a route: by the route's first tag and what it does. */
export function scopeOf(
  method: string,
  {
    schema,
    config,
  }: { schema?: { tags?: readonly string[] }; config?: { reads?: true } | undefined },
): string | undefined {
  const tag = schema?.tags?.[0];
  return tag && `${tag}:${isReading(method, config) ? "read" : "write"}`;
}

/** Whether a call changes nothing. */
export function isReading(method: string, config: { reads?: true } | undefined): boolean {
  return method === "GET" || method === "HEAD" || config?.reads === true;
}

/** Whether a token is for all that its role may. */
export function isUnrestricted({ scopes }: Operator): boolean {
  return scopes === undefined || scopes.includes("*");
}

/** Who may call a route. Every route must say so: a route without it does not start. */
export type Access =
  | { by: "anyone" }
  /** A vehicle, with its certificate, and only for itself. */
  | { by: "vehicle" }
  /** A vehicle for itself or, when a token is shown, an operator of any role. */
  | { by: "vehicle or operator" }
  /** An operator of one of these roles, or admin; any role when none is named. */
  | { by: "operator"; roles?: readonly Role[] };

export type Caller =
  | { kind: "anyone" }
  | { kind: "vehicle"; vin: string; connection: TlsConnection }
  | { kind: "operator"; operator: Operator };

declare module "fastify" {
  interface FastifyContextConfig {
    access?: Access;
    /** It is POST for the sake of its body alone, and changes nothing. */
    reads?: true;
    /** The slice writes its own audit entries for this route; else each change gets one. */
    audit?: "own";
  }
  interface FastifyRequest {
    caller: Caller;
  }
  interface FastifyInstance {
    /** What a token can be for: `*`, and the scopes of all routes. */
    scopes: Set<string>;
  }
}

/** Looks up a bearer token; undefined when it is unknown, expired or revoked. */
export type Authenticate = (token: string) => Promise<Operator | undefined>;

/**
 * Guards every route by its `config.access`: deny by default, identity from the certificate or the
 * token, never from the body. A vehicle that names another in the path or the body is refused.
 */
export function guardRoutes(
  http: Http,
  deps: {
    authenticate: Authenticate;
    vehicleSeen: (vin: string, connection: TlsConnection) => void;
  },
): void {
  http.decorateRequest("caller");
  http.decorate("scopes", new Set(["*"]));
  http.addHook("onRoute", (route) => {
    const { access } = route.config ?? {};
    const name = `${String(route.method)} ${route.url}`;
    if (access === undefined) throw new Error(`${name} does not say who may call it`);
    if (access.by !== "operator" && access.by !== "vehicle or operator") return;
    for (const method of [route.method].flat()) {
      const scope = scopeOf(method, route);
      if (scope === undefined) throw new Error(`${name} has no tag, so no scope`);
      http.scopes.add(scope);
    }
  });
  http.addHook("onRequest", async (request) => {
    request.caller = { kind: "anyone" };
    const access = request.routeOptions.config?.access;
    if (request.is404) return;
    if (access === undefined) throw new ProblemError("ROUTE_UNKNOWN");
    request.caller = await identify(request, access, deps.authenticate);
    if (request.caller.kind === "vehicle") {
      refuseOther(request.caller.vin, request.params);
      deps.vehicleSeen(request.caller.vin, request.caller.connection);
    }
  });
  http.addHook("preValidation", async (request) => {
    if (request.caller.kind === "vehicle") refuseOther(request.caller.vin, request.body);
  });
}

/** The vehicle that calls. Only for routes with `access: { by: "vehicle" }`. */
export function callingVehicle({ caller }: FastifyRequest): string {
  if (caller.kind !== "vehicle") throw new ProblemError("CLIENT_CERTIFICATE_REQUIRED");
  return caller.vin;
}

/** The operator that calls. Only for routes with `access: { by: "operator" }`. */
export function callingOperator({ caller }: FastifyRequest): Operator {
  if (caller.kind !== "operator") throw new ProblemError("TOKEN_REQUIRED");
  return caller.operator;
}

async function identify(
  request: FastifyRequest,
  access: Access,
  authenticate: Authenticate,
): Promise<Caller> {
  switch (access.by) {
    case "anyone":
      return { kind: "anyone" };
    case "vehicle":
      return identifyVehicle(request);
    case "vehicle or operator":
      return request.headers.authorization === undefined
        ? identifyVehicle(request)
        : { kind: "operator", operator: await identifyOperator(request, authenticate) };
    case "operator": {
      const operator = await identifyOperator(request, authenticate);
      if (access.roles && operator.role !== "admin" && !access.roles.includes(operator.role)) {
        throw new ProblemError(
          "ROLE_REQUIRED",
          `needs ${access.roles.join(" or ")}, not ${operator.role}`,
        );
      }
      return { kind: "operator", operator };
    }
  }
}

/**
 * The vehicle whose certificate the connection was made with, for routes that take others too.
 * @throws ProblemError
 */
export function identifyVehicle(request: FastifyRequest): Extract<Caller, { kind: "vehicle" }> {
  const connection = connectionOf(request.raw.socket);
  if (connection === undefined || connection.peer.kind === "anonymous") {
    throw new ProblemError("CLIENT_CERTIFICATE_REQUIRED");
  }
  if (connection.peer.kind === "refused") {
    throw new ProblemError("CLIENT_CERTIFICATE_REJECTED", connection.peer.reason);
  }
  if (connection.refusal !== undefined) {
    throw new ProblemError("TLS_PROFILE_TOO_WEAK", connection.refusal.reason);
  }
  return { kind: "vehicle", vin: connection.peer.vehicleId, connection };
}

async function identifyOperator(
  request: FastifyRequest,
  authenticate: Authenticate,
): Promise<Operator> {
  const [scheme, token] = (request.headers.authorization ?? "").split(" ");
  if (scheme?.toLowerCase() !== "bearer" || !token) throw new ProblemError("TOKEN_REQUIRED");
  const operator = await authenticate(token);
  if (operator === undefined) throw new ProblemError("TOKEN_INVALID");
  demandScope(operator, scopeOf(request.method, request.routeOptions));
  return operator;
}

/** A token's scopes take from what its role may, and never add to it. */
function demandScope(operator: Operator, scope: string | undefined): void {
  if (isUnrestricted(operator)) return;
  if (scope === undefined || !operator.scopes?.includes(scope)) {
    throw new ProblemError("SCOPE_REQUIRED", `needs ${scope ?? "*"}`);
  }
}

function refuseOther(vin: string, named: unknown): void {
  if (typeof named !== "object" || named === null) return;
  const other = (named as { vin?: unknown }).vin;
  if (other !== undefined && other !== vin) {
    throw new ProblemError("VEHICLE_MISMATCH", `the certificate is for ${vin}`);
  }
}
