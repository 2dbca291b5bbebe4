import { randomUUIDv7 } from "node:crypto";
import Type from "typebox";
import { CommandRequest, CommandState } from "#protocol/api/command.ts";
import { Uuid, VehicleId } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { RemoteConfig, RemoteConfigMessage } from "#protocol/mqtt/remote-config.ts";
import type { Db } from "#server/database/connection.ts";
import { callingOperator } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { vehicleByVin } from "#server/vehicles/queries.ts";
import type { Delivery } from "./delivery.ts";
import {
  commandById,
  insertCommand,
  listCommands,
  remoteConfig,
  saveRemoteConfig,
} from "./queries.ts";

export interface CommandDeps {
  db: Db;
  delivery: Delivery;
  /** How long a command waits when the operator says nothing, in seconds. */
  ttlSeconds: number;
}

const Vin = Type.Object({ vin: VehicleId });
const tags = ["commands"];

export function commandRoutes(deps: CommandDeps) {
  return async (http: Http): Promise<void> => {
    commands(http, deps);
    configuration(http, deps);
  };
}

function commands(http: Http, { db, delivery, ttlSeconds }: CommandDeps): void {
  http.post(
    "/vehicles/:vin/commands",
    {
      config: { access: { by: "operator", roles: ["release_manager", "diagnostician"] } },
      schema: {
        tags,
        summary: "Sends a command; it waits for a vehicle that is offline",
        params: Vin,
        body: CommandRequest,
        response: { 202: CommandState },
      },
    },
    async (request, reply) => {
      const { params, body } = request;
      await registered(db, params.vin);
      const state = await insertCommand(db, {
        command_id: randomUUIDv7(),
        vin: params.vin,
        command: body.command,
        params: body.params,
        issued_by: callingOperator(request).name,
        expires_at: new Date(Date.now() + (body.ttl_s ?? ttlSeconds) * 1000),
      });
      delivery.commands(params.vin);
      return reply.code(202).send(state);
    },
  );

  http.get(
    "/vehicles/:vin/commands",
    {
      config: { access: { by: "operator" } },
      schema: {
        tags,
        params: Vin,
        querystring: PageQuery(Uuid),
        response: { 200: Page(CommandState) },
      },
    },
    async ({ params, query }) => {
      await registered(db, params.vin);
      return page(
        query.limit,
        await listCommands(db, params.vin, { ...query, limit: query.limit + 1 }),
        (row) => row.command_id,
      );
    },
  );

  http.get(
    "/commands/:command_id",
    {
      config: { access: { by: "operator" } },
      schema: { tags, params: Type.Object({ command_id: Uuid }), response: { 200: CommandState } },
    },
    async ({ params }) => {
      const state = await commandById(db, params.command_id);
      if (state === undefined) throw new ProblemError("COMMAND_UNKNOWN", params.command_id);
      return state;
    },
  );
}

function configuration(http: Http, { db, delivery }: CommandDeps): void {
  http.put(
    "/vehicles/:vin/config",
    {
      config: { access: { by: "operator", roles: ["release_manager"] } },
      schema: {
        tags,
        summary:
          "Sets the vehicle's remote configuration; it reaches the vehicle when it is online",
        params: Vin,
        body: RemoteConfig,
        response: { 200: RemoteConfigMessage },
      },
    },
    async ({ params, body }) => {
      const message = await saveRemoteConfig(db, params.vin, body);
      if (message === undefined) throw new ProblemError("VEHICLE_UNKNOWN", params.vin);
      delivery.config(params.vin);
      return message;
    },
  );

  const Unset = Type.Object({ revision: Type.Literal(0), config: Type.Object({}) });
  http.get(
    "/vehicles/:vin/config",
    {
      config: { access: { by: "operator" } },
      schema: { tags, params: Vin, response: { 200: Type.Union([RemoteConfigMessage, Unset]) } },
    },
    async ({ params }) => {
      await registered(db, params.vin);
      return (await remoteConfig(db, params.vin)) ?? { revision: 0 as const, config: {} };
    },
  );
}

async function registered(db: Db, vin: string): Promise<void> {
  if (!(await vehicleByVin(db, vin))) throw new ProblemError("VEHICLE_UNKNOWN", vin);
}
