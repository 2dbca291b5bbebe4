import type { FastifyRequest } from "fastify";
import { isReading } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import type { AuditLog, NewAuditEntry } from "./audit-log.ts";
import { redacted } from "./redact.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The id of what the answer is about, where the request does not name it yet. */
    made: string | undefined;
  }
}

/**
 * Writes an entry for every change by an operator that succeeds, unless its route says that its
 * slice does; and for one in which the gateway fails, for what it has done by then stays. The answer
 * goes out when the entry is stored. Routes come after it.
 */
export function auditChanges(http: Http, audit: AuditLog): void {
  http.decorateRequest("made");
  http.addHook("preSerialization", async (request, _reply, payload) => {
    if (isChange(request)) request.made = idIn(payload);
    return payload;
  });
  http.addHook("onSend", async (request, reply) => {
    const { statusCode } = reply;
    if (!isChange(request) || (statusCode >= 400 && statusCode < 500)) return;
    const written = audit.append(entryOf(request, statusCode));
    if (statusCode < 400) return written;
    // What has failed may be the database; there is an answer to that already.
    await written.catch((error: unknown) =>
      request.log.error({ err: error }, "Not in the audit log"),
    );
  });
}

function isChange({ method, caller, routeOptions }: FastifyRequest): boolean {
  return (
    !isReading(method, routeOptions.config) &&
    caller?.kind === "operator" &&
    routeOptions.config?.audit !== "own"
  );
}

/** What a change through a route is called: its method, and its path below `/api/v1`. */
export function actionOf(method: string, url: string): string {
  return `${method} ${url.replace(/^\/api\/v1/, "").replace(/:(\w+)/g, "{$1}")}`;
}

function entryOf(request: FastifyRequest, status: number): NewAuditEntry {
  const { method, caller, routeOptions } = request;
  const params = asRecord(request.params);
  const body = asRecord(request.body);
  const { vin, ...others } = params;
  const operator = caller.kind === "operator" ? caller.operator : undefined;
  return {
    actor: `operator:${operator?.name}`,
    action: actionOf(method, routeOptions.url ?? ""),
    vin: asText(vin) ?? asText(body["vin"]),
    ecu_id: asText(others["ecu_id"]) ?? asText(body["ecu_id"]),
    subject: asText(Object.values(others).at(-1)) ?? request.made,
    detail: {
      status,
      token_id: operator?.token_id,
      params: some(others),
      query: some(redacted(request.query)),
      // What is no JSON is an upload.
      body: some(redacted(understood(request.body, routeOptions.schema?.body))),
    },
  };
}

/** Without members that the route does not know: they have no effect, and would hide those that have. */
function understood(body: unknown, schema: unknown): unknown {
  const known = (schema as { properties?: Record<string, unknown> } | undefined)?.properties;
  if (known === undefined || typeof body !== "object" || body === null) return body;
  return Object.fromEntries(Object.entries(body).filter(([name]) => Object.hasOwn(known, name)));
}

/** The first `…_id` of an answer is that of what it is about. */
function idIn(payload: unknown): string | undefined {
  return asText(Object.entries(asRecord(payload)).find(([name]) => name.endsWith("_id"))?.[1]);
}

function asRecord(value: unknown): Record<string, unknown> {
  const isRecord = typeof value === "object" && value !== null && !Array.isArray(value);
  return isRecord ? (value as Record<string, unknown>) : {};
}

function asText(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** Leaves out what is empty. */
function some(value: unknown): unknown {
  const isEmpty = typeof value === "object" && value !== null && Object.keys(value).length === 0;
  return value === null || isEmpty ? undefined : value;
}
