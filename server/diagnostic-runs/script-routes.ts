import type { FastifyReply } from "fastify";
import Type from "typebox";
import {
  ScriptRequest,
  ScriptRun,
  ScriptStatus,
  ScriptStepResult,
  ScriptWaitMs,
} from "#protocol/api/diagnostic-script.ts";
import { EcuId, Uuid, VehicleId } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Catalogue, Catalogues } from "#protocol/uds/catalogue.ts";
import type { Db } from "#server/database/connection.ts";
import { sessionById } from "#server/diagnostic-sessions/queries.ts";
import { callingOperator, diagnosticRoles, type Operator } from "#server/http/access.ts";
import { eventStreams } from "#server/http/event-stream.ts";
import { EventStream } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { operatorById } from "#server/operators/queries.ts";
import type { Waiters } from "#server/runtime/waiters.ts";
import { ecuTypesOf } from "#server/vehicles/queries.ts";
import { isOver, parseScript } from "./script.ts";
import { followRun } from "./script-feed.ts";
import { listScripts, scriptById, stepsOf, type ScriptRow } from "./script-queries.ts";
import { asRun, asStep } from "./script-view.ts";
import type { Scripts } from "./scripts.ts";

export interface ScriptRouteDeps {
  db: Db;
  scripts: Scripts;
  catalogues: Catalogues;
  waiters: Waiters;
  /** How often another gateway's steps are looked for, in milliseconds. */
  lookMs: number;
}

const tags = ["diagnostics"];
const Id = Type.Object({ script_id: Uuid });
const acting = {
  access: { by: "operator", roles: diagnosticRoles },
  audit: "own",
} as const;
const reading = { access: { by: "operator" } } as const;

export function scriptRoutes(deps: ScriptRouteDeps) {
  return async (http: Http): Promise<void> => {
    running(http, deps);
    proving(http, deps);
    results(http, deps);
    progress(http, deps);
  };
}

const answered = { 201: ScriptRun, 202: ScriptRun };

function running(http: Http, deps: ScriptRouteDeps): void {
  const { scripts } = deps;
  http.post(
    "/diagnostics/scripts",
    {
      config: acting,
      schema: {
        tags,
        summary: "Has the vehicle carry out requests, waits and decisions by itself",
        body: ScriptRequest,
        response: answered,
      },
    },
    async (request, reply) => {
      const script = parseScript(request.body.script);
      const row = await scripts.run(callingOperator(request), { ...request.body, script });
      return answer(deps, reply, row);
    },
  );

  http.delete(
    "/diagnostics/scripts/:script_id",
    {
      config: acting,
      schema: {
        tags,
        summary: "Ends a run; its cleanup is carried out all the same",
        params: Id,
        querystring: Type.Object({ wait_ms: ScriptWaitMs }),
        response: { 200: ScriptRun },
      },
    },
    async (request) => {
      const { params, query } = request;
      const row = await scripts.cancel(callingOperator(request), params.script_id, query.wait_ms);
      return asRun(row, await catalogueOf(deps, row));
    },
  );
}

/** What is so common that nobody should have to write a script for it. */
function proving(http: Http, deps: ScriptRouteDeps): void {
  const params = Type.Object({ session_id: Uuid });
  const wait_ms = Type.Integer({ minimum: 0, maximum: 60_000, default: 10_000 });
  const max_s = 60;

  async function inSession(operator: Operator, sessionId: string, step: object, waitMs: number) {
    const session = await sessionById(deps.db, sessionId);
    if (session === undefined) throw new ProblemError("SESSION_UNKNOWN", sessionId);
    const { vin, ecu_id, session_id } = session;
    const script = parseScript({ steps: [step] });
    const wanted = { vin, ecu_id, session_id, script, max_s, wait_ms: waitMs };
    return deps.scripts.run(operator, wanted);
  }

  http.post(
    "/diagnostics/sessions/:session_id/unlock",
    {
      config: acting,
      schema: {
        tags,
        summary: "Unlocks a security level (27) with the gateway's key, as a script of one step",
        params,
        body: Type.Object({
          level: Type.Integer({ minimum: 1, maximum: 0x7d, description: "odd" }),
          wait_ms,
        }),
        response: answered,
      },
    },
    async (request, reply) => {
      const { level, wait_ms: ms } = request.body;
      const { session_id } = request.params;
      const step = { unlock: level };
      return answer(deps, reply, await inSession(callingOperator(request), session_id, step, ms));
    },
  );

  http.post(
    "/diagnostics/sessions/:session_id/authenticate",
    {
      config: acting,
      schema: {
        tags,
        summary: "Authenticates (29) with the gateway's certificate, as a script of one step",
        params,
        body: Type.Object({ wait_ms }),
        response: answered,
      },
    },
    async (request, reply) => {
      const { session_id } = request.params;
      const step = { authenticate: true };
      const { wait_ms: ms } = request.body;
      return answer(deps, reply, await inSession(callingOperator(request), session_id, step, ms));
    },
  );
}

function results(http: Http, deps: ScriptRouteDeps): void {
  const { db, catalogues } = deps;
  http.get(
    "/diagnostics/scripts",
    {
      config: reading,
      schema: {
        tags,
        summary: "Runs of scripts, newest first",
        querystring: Type.Object({
          ...PageQuery(Uuid).properties,
          vin: Type.Optional(VehicleId),
          ecu_id: Type.Optional(EcuId),
          session_id: Type.Optional(Uuid),
          operator: Type.Optional(Type.String({ maxLength: 64 })),
          status: Type.Optional(ScriptStatus),
        }),
        response: { 200: Page(ScriptRun) },
      },
    },
    async ({ query }) => {
      const rows = await listScripts(db, { ...query, limit: query.limit + 1 });
      const typeOf = await ecuTypesOf(
        db,
        rows.map(({ vin }) => vin),
      );
      const runs = rows.map((row) => asRun(row, catalogues.of(typeOf(row.vin, row.ecu_id))));
      return page(query.limit, runs, (run) => run.script_id);
    },
  );

  http.get(
    "/diagnostics/scripts/:script_id",
    {
      config: reading,
      schema: { tags, summary: "A run of a script", params: Id, response: { 200: ScriptRun } },
    },
    async ({ params }) => {
      const row = await known(db, params.script_id);
      return asRun(row, await catalogueOf(deps, row));
    },
  );

  http.get(
    "/diagnostics/scripts/:script_id/steps",
    {
      config: reading,
      schema: {
        tags,
        summary: "The steps of a run that are done, in their order",
        params: Id,
        querystring: PageQuery(Type.Integer({ minimum: 0, description: "seq of the last one" })),
        response: { 200: Page(ScriptStepResult) },
      },
    },
    async ({ params, query }) => {
      const row = await known(db, params.script_id);
      const catalogue = await catalogueOf(deps, row);
      const range = { after: query.cursor ?? 0, limit: query.limit + 1 };
      const steps = await stepsOf(db, params.script_id, range);
      return page(
        query.limit,
        steps.map((step) => asStep(step, catalogue)),
        ({ seq }) => String(seq),
      );
    },
  );
}

function progress(http: Http, deps: ScriptRouteDeps): void {
  const streams = eventStreams(http);
  http.get(
    "/diagnostics/scripts/:script_id/events",
    {
      exposeHeadRoute: false,
      config: { ...reading, stream: true },
      schema: {
        tags,
        summary: "Steps as they happen (server-sent events), then the whole run",
        params: Id,
        response: { 200: EventStream },
        headers: Type.Object({
          "last-event-id": Type.Optional(Type.String({ pattern: "^[0-9]{1,9}$" })),
        }),
      },
    },
    async (request, reply) => {
      const { script_id } = request.params;
      const row = await known(deps.db, script_id);
      const catalogue = await catalogueOf(deps, row);
      const { token_id } = callingOperator(request);
      const after = Number(request.headers["last-event-id"] ?? 0);
      const mayGoOn = async () => (await operatorById(deps.db, token_id)) !== undefined;
      const feed = { ...deps, catalogue };
      return streams.send(reply, (signal) => followRun(feed, script_id, after, signal), mayGoOn);
    },
  );
}

async function answer(deps: ScriptRouteDeps, reply: FastifyReply, row: ScriptRow) {
  return reply.code(isOver(row.status) ? 201 : 202).send(asRun(row, await catalogueOf(deps, row)));
}

async function catalogueOf(
  { db, catalogues }: ScriptRouteDeps,
  row: ScriptRow,
): Promise<Catalogue> {
  const typeOf = await ecuTypesOf(db, [row.vin]);
  return catalogues.of(typeOf(row.vin, row.ecu_id));
}

async function known(db: Db, scriptId: string): Promise<ScriptRow> {
  const row = await scriptById(db, scriptId);
  if (row === undefined) throw new ProblemError("SCRIPT_UNKNOWN", scriptId);
  return row;
}
