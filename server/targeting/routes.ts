import { sql, type RawBuilder } from "kysely";
import Type from "typebox";
import type { Static } from "typebox";
import { FleetStatistics } from "#protocol/api/fleet.ts";
import { EcuType, VehicleId } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import {
  Preview,
  PreviewRequest,
  TagAnswer,
  TagRequest,
  VehicleQuery,
} from "#protocol/api/target.ts";
import { Vehicle, VehicleStatus } from "#protocol/api/vehicle.ts";
import type { Db } from "#server/database/connection.ts";
import type { Http } from "#server/http/http.ts";
import { vehiclesByVin } from "#server/vehicles/queries.ts";
import { parseFilter } from "./filter.ts";
import { preview } from "./preview.ts";
import { fleetStatistics } from "./statistics.ts";
import { changeTags } from "./tagging.ts";
import { findVehicles } from "./vehicles.ts";

const tags = ["vehicles"];

const Query = Type.Object({
  ...PageQuery(VehicleId).properties,
  status: Type.Optional(VehicleStatus),
  ...VehicleQuery.properties,
});

export function targetingRoutes({ db }: { db: Db }) {
  return async (http: Http): Promise<void> => {
    http.get(
      "/vehicles",
      {
        config: { access: { by: "operator" } },
        schema: {
          tags,
          summary: "Vehicles in the order of their VINs",
          description:
            "A page may be short, even empty, while there are more: go on until `next_cursor` is null.",
          querystring: Query,
          response: { 200: Page(Vehicle) },
        },
      },
      async ({ query }) => {
        const { limit, cursor, filter = "all" } = query;
        const page = { limit, cursor, where: conditionOfQuery(query) };
        const { vins, next } = await findVehicles(db, parseFilter(filter).predicate, page);
        return { items: await vehiclesByVin(db, vins), next_cursor: next };
      },
    );

    http.get(
      "/stats/vehicles",
      {
        config: { access: { by: "operator" } },
        schema: {
          tags,
          operationId: "getVehicleStats",
          summary:
            "The fleet in numbers: by status, channel and TLS profile, and what its ECUs run",
          querystring: Type.Object({
            ecu_type: Type.Optional({ ...EcuType, description: "Of these ECUs alone" }),
          }),
          response: { 200: FleetStatistics },
        },
      },
      async ({ query }) => fleetStatistics(db, query.ecu_type),
    );

    http.post(
      "/vehicles/preview",
      {
        config: { access: { by: "operator" }, reads: true },
        schema: {
          tags,
          summary: "How many vehicles a filter means, and which",
          body: PreviewRequest,
          response: { 200: Preview },
        },
      },
      async ({ body }) => preview(db, parseFilter(body.filter), body.percentage),
    );

    http.post(
      "/vehicles/tags",
      {
        config: { access: { by: "operator", roles: ["release_manager", "campaign_manager"] } },
        schema: {
          tags,
          operationId: "tagVehicles",
          summary: "Adds tags to many vehicles and takes others from them",
          body: TagRequest,
          response: { 200: TagAnswer },
        },
      },
      async ({ body }) => changeTags(db, body),
    );
  };
}

function conditionOfQuery(query: Static<typeof Query>): RawBuilder<boolean> {
  const { status, model, region, channel, tag, profile } = query;
  const equal = Object.entries({ status, model, region, channel, profile })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => sql`${sql.ref(`vehicle.${name}`)} = ${value}`);
  if (tag !== undefined) equal.push(sql`${tag} = any (vehicle.tags)`);
  return equal.length === 0 ? sql`true` : sql`(${sql.join(equal, sql` and `)})`;
}
