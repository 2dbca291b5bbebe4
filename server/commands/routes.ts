import Type from "typebox";
import { CommandRequest, CommandState } from "#protocol/api/command.ts";
import { Uuid, VehicleId } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { RemoteConfig, RemoteConfigMessage } from "#protocol/mqtt/remote-config.ts";
import { callingOperator } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { isOver } from "./command.ts";
import { listCommands, remoteConfig, saveRemoteConfig } from "./queries.ts";
import {
  cancelCommand,
  demandVehicle,
  existingCommand,
  giveCommand,
  type CommandDeps,
} from "./service.ts";

const Vin = Type.Object({ vin: VehicleId });
const tags = ["commands"];

export function commandRoutes(deps: CommandDeps) {
  return async (http: Http): Promise<void> => {
    commands(http, deps);
    configuration(http, deps);
  };
}

const sending = {
  access: { by: "operator", roles: ["release_manager", "diagnostician"] },
} as const;

function commands(http: Http, deps: CommandDeps): void {
  const { db } = deps;
  http.post(
    "/vehicles/:vin/commands",
    {
      config: sending,
      schema: {
        tags,
        operationId: "sendCommand",
        summary: "Sends a command; it waits for a vehicle that is offline",
        params: Vin,
        body: CommandRequest,
        response: { 200: CommandState, 202: CommandState },
      },
    },
    async (request, reply) => {
      const { params, body } = request;
      const state = await giveCommand(deps, params.vin, body, callingOperator(request).name);
      return reply.code(isOver(state.status) ? 200 : 202).send(state);
    },
  );

  http.get(
    "/vehicles/:vin/commands",
    {
      config: { access: { by: "operator" } },
      schema: {
        tags,
        summary: "Commands to a vehicle, newest first",
        params: Vin,
        querystring: PageQuery(Uuid),
        response: { 200: Page(CommandState) },
      },
    },
    async ({ params, query }) => {
      await demandVehicle(db, params.vin);
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
      schema: {
        tags,
        summary: "A command",
        params: Type.Object({ command_id: Uuid }),
        response: { 200: CommandState },
      },
    },
    async ({ params }) => existingCommand(db, params.command_id),
  );

  http.post(
    "/commands/:command_id/cancel",
    {
      config: sending,
      schema: {
        tags,
        summary: "Takes a command back that has not been sent yet",
        params: Type.Object({ command_id: Uuid }),
        response: { 200: CommandState },
      },
    },
    async ({ params }) => cancelCommand(deps, params.command_id),
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
      schema: {
        tags,
        summary: "The vehicle's remote configuration",
        params: Vin,
        response: { 200: Type.Union([RemoteConfigMessage, Unset]) },
      },
    },
    async ({ params }) => {
      await demandVehicle(db, params.vin);
      return (await remoteConfig(db, params.vin)) ?? { revision: 0 as const, config: {} };
    },
  );
}
