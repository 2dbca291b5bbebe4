import Type from "typebox";
import { Timestamp, Uuid, VehicleId } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { Vci } from "#protocol/api/vci.ts";
import {
  DetectedAttack,
  Evidence,
  RegisterRequest,
  Vehicle,
  VehicleDetail,
  VehiclePatch,
} from "#protocol/api/vehicle.ts";
import type { Db } from "#server/database/connection.ts";
import { callingVehicle } from "#server/http/access.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { removeVehicle } from "./leaving.ts";
import { listVcis, patchVehicle, registerVehicle, vehicleDetail } from "./queries.ts";

const Vin = Type.Object({ vin: VehicleId });
const tags = ["vehicles"];

export interface VehicleDeps {
  db: Db;
  /** Called when a vehicle's minimum profile has changed. */
  minimumChanged: () => Promise<void>;
  /** Ends what a vehicle is in the middle of before it is removed, or throws. */
  leaving: (vin: string) => Promise<void>;
}

export function vehicleRoutes({ db, minimumChanged, leaving }: VehicleDeps) {
  return async (http: Http): Promise<void> => {
    registration(http, db);
    reading(http, db);

    http.patch(
      "/vehicles/:vin",
      {
        config: { access: { by: "operator", roles: ["release_manager"] } },
        schema: {
          tags,
          summary: "Changes what the gateway holds of a vehicle",
          params: Vin,
          body: VehiclePatch,
          response: { 200: Vehicle },
        },
      },
      async ({ params, body }) => {
        const vehicle = await patchVehicle(db, params.vin, body);
        if (vehicle === undefined) throw new ProblemError("VEHICLE_UNKNOWN", params.vin);
        if (body.min_profile !== undefined) await minimumChanged();
        return vehicle;
      },
    );

    http.delete(
      "/vehicles/:vin",
      {
        config: { access: { by: "operator", roles: ["release_manager"] } },
        schema: {
          tags,
          summary:
            "Removes a vehicle and what it has told of itself; what was done to it stays on record",
          description:
            "Its certificates stay valid, so that it may register anew: revoke them if it must not.",
          params: Vin,
          response: { 204: Type.Null() },
        },
      },
      async ({ params }, reply) => {
        await leaving(params.vin);
        await removeVehicle(db, params.vin);
        await minimumChanged();
        return reply.code(204).send(null);
      },
    );
  };
}

function registration(http: Http, db: Db): void {
  http.post(
    "/vehicles/register",
    {
      config: { access: { by: "vehicle" } },
      schema: {
        tags,
        operationId: "registerVehicle",
        summary: "A vehicle makes itself known; repeating it is harmless",
        body: RegisterRequest,
        response: { 200: Vehicle, 201: Vehicle },
      },
    },
    async (request, reply) => {
      const vin = callingVehicle(request);
      const { vehicle, created } = await registerVehicle(db, { ...request.body, vin });
      return reply.code(created ? 201 : 200).send(vehicle);
    },
  );
}

function reading(http: Http, db: Db): void {
  const config = { access: { by: "operator" } } as const;
  http.get(
    "/vehicles/:vin",
    {
      config,
      schema: { tags, summary: "A vehicle", params: Vin, response: { 200: VehicleDetail } },
    },
    async ({ params }) => existing(db, params.vin),
  );

  const StoredVci = Type.Object({
    vci_id: Uuid,
    received_at: Timestamp,
    reason: Type.Union([Type.String(), Type.Null()]),
    zones: Vci.properties.zones,
    ecus: Vci.properties.ecus,
    evidence: Evidence,
    nonce: Type.Union([Type.String(), Type.Null()]),
    attacks_detected: Type.Array(DetectedAttack),
  });
  http.get(
    "/vehicles/:vin/vci",
    {
      config,
      schema: {
        tags,
        operationId: "listVcis",
        summary: "VCIs of a vehicle, the current one first",
        params: Vin,
        querystring: PageQuery(Uuid),
        response: { 200: Page(StoredVci) },
      },
    },
    async ({ params, query }) => {
      await existing(db, params.vin);
      return page(
        query.limit,
        await listVcis(db, params.vin, { ...query, limit: query.limit + 1 }),
        ({ vci_id }) => vci_id,
      );
    },
  );
}

async function existing(db: Db, vin: string): Promise<VehicleDetail> {
  const vehicle = await vehicleDetail(db, vin);
  if (vehicle === undefined) throw new ProblemError("VEHICLE_UNKNOWN", vin);
  return vehicle;
}
