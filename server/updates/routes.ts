import Type from "typebox";
import { Uuid, VehicleId } from "#protocol/api/identifier.ts";
import {
  CheckAnswer,
  CheckRequest,
  PackageAnswer,
  PackageRequest,
  VciAnswer,
} from "#protocol/api/ota.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { Update, UpdateStatus, UpdateWithEvents } from "#protocol/api/update.ts";
import { Vci } from "#protocol/api/vci.ts";
import { OtaStatus } from "#protocol/mqtt/ota-status.ts";
import { openUpdateCommand } from "#server/commands/queries.ts";
import type { Db } from "#server/database/connection.ts";
import { callingVehicle } from "#server/http/access.ts";
import { NoContent } from "#server/http/answers.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { certificateKey } from "#server/runtime/connection.ts";
import type { Log } from "#server/runtime/log.ts";
import { vehicleByVin } from "#server/vehicles/queries.ts";
import { requestPackage } from "./issue.ts";
import { eventsOf, listUpdates, updateById } from "./queries.ts";
import { cancelUpdate, reportStatus, submitVci, type UpdateDeps } from "./service.ts";

export function updateRoutes(deps: UpdateDeps & { log: Log }) {
  return async (http: Http): Promise<void> => {
    vehicleSide(http, deps);
    operatorSide(http, deps);
  };
}

function vehicleSide(http: Http, deps: UpdateDeps & { log: Log }): void {
  const config = { access: { by: "vehicle" } } as const;
  const tags = ["ota"];

  http.post(
    "/vehicles/:vin/vci",
    {
      config,
      schema: {
        tags,
        operationId: "submitVci",
        summary: "Submits the VCI; answers what is outdated",
        params: Type.Object({ vin: VehicleId }),
        body: Vci,
        response: { 200: VciAnswer },
      },
    },
    async (request) => {
      const vehicle = callingVehicle(request);
      const key = () => certificateKey(request.raw.socket);
      return found(deps.log, vehicle, await submitVci(deps, vehicle, request.body, key));
    },
  );

  http.post(
    "/ota/check",
    {
      config,
      schema: {
        tags,
        operationId: "checkForUpdates",
        summary:
          "What the vehicle may install, by a version list or by its newest VCI; stores nothing",
        body: CheckRequest,
        response: { 200: CheckAnswer },
      },
    },
    async (request) => {
      const vehicle = callingVehicle(request);
      return found(deps.log, vehicle, await deps.checkIns.check(vehicle, request.body.ecus));
    },
  );

  http.post(
    "/ota/package",
    {
      config,
      schema: {
        tags,
        operationId: "requestPackage",
        summary: "Asks for the package of what is outdated by the current VCI",
        body: PackageRequest,
        response: { 200: PackageAnswer },
      },
    },
    async (request) => {
      const vehicle = callingVehicle(request);
      const { ecu_ids, command_id: id } = request.body;
      return requestPackage(deps, vehicle, ecu_ids, await commandOf(deps.db, vehicle, id));
    },
  );

  statusReports(http, deps);
}

function statusReports(http: Http, deps: UpdateDeps): void {
  const config = { access: { by: "vehicle" } } as const;
  const tags = ["ota"];
  http.post(
    "/ota/status",
    {
      config,
      schema: {
        tags,
        operationId: "reportStatus",
        summary: "Reports a step of an update, for vehicles without MQTT",
        response: { 204: NoContent },
        body: OtaStatus,
      },
    },
    async (request, reply) => {
      await reportStatus(deps, callingVehicle(request), request.body);
      return reply.code(204).send();
    },
  );
}

/** What is over, or another vehicle's, approves of nothing. */
async function commandOf(db: Db, vin: string, commandId: string | undefined) {
  return commandId === undefined ? undefined : openUpdateCommand(db, vin, commandId);
}

function found<Answer extends CheckAnswer>(log: Log, vehicle: string, answer: Answer): Answer {
  log.info({ vehicle }, `[HTTPS] Found ${answer.outdated_ecus.length} outdated ECUs`);
  return answer;
}

function operatorSide(http: Http, deps: UpdateDeps): void {
  const { db } = deps;
  const config = { access: { by: "operator" } } as const;
  planning(http, deps);
  const tags = ["updates"];
  const Id = Type.Object({ update_id: Uuid });

  http.get(
    "/updates",
    {
      config,
      schema: {
        tags,
        summary: "Updates, newest first",
        querystring: Type.Object({
          ...PageQuery(Uuid).properties,
          vin: Type.Optional(VehicleId),
          status: Type.Optional(UpdateStatus),
        }),
        response: { 200: Page(Update) },
      },
    },
    async ({ query }) =>
      page(
        query.limit,
        await listUpdates(db, { ...query, limit: query.limit + 1 }),
        (row) => row.update_id,
      ),
  );

  http.get(
    "/updates/:update_id",
    {
      config,
      schema: {
        tags,
        summary: "An update, ECU by ECU",
        params: Id,
        response: { 200: UpdateWithEvents },
      },
    },
    async ({ params }) => ({
      ...(await existing(db, params.update_id)),
      events: await eventsOf(db, params.update_id),
    }),
  );

  http.post(
    "/updates/:update_id/cancel",
    {
      config: { access: { by: "operator", roles: ["release_manager"] } },
      schema: {
        tags,
        summary: "Cancels an update that writes no flash yet",
        params: Id,
        response: { 200: Update },
      },
    },
    async ({ params }) => {
      const { vin } = await existing(db, params.update_id);
      await cancelUpdate(deps, vin, params.update_id);
      return existing(db, params.update_id);
    },
  );
}

/** What a vehicle would be told. */
function planning(http: Http, { db, checkIns }: UpdateDeps): void {
  http.get(
    "/vehicles/:vin/plan",
    {
      config: { access: { by: "operator" } },
      schema: {
        tags: ["vehicles"],
        summary: "What the vehicle would be offered if it asked now, and what is held back and why",
        params: Type.Object({ vin: VehicleId }),
        response: { 200: CheckAnswer },
      },
    },
    async ({ params: { vin } }) => {
      if (!(await vehicleByVin(db, vin))) throw new ProblemError("VEHICLE_UNKNOWN", vin);
      return checkIns.check(vin, undefined);
    },
  );
}

async function existing(db: Db, updateId: string): Promise<Update> {
  const update = await updateById(db, updateId);
  if (update === undefined) throw new ProblemError("UPDATE_UNKNOWN", updateId);
  return update;
}
