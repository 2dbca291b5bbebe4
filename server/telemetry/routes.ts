import Type from "typebox";
import { VehicleId } from "#protocol/api/identifier.ts";
import { Page, PageQuery } from "#protocol/api/page.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { Anomaly, TelemetrySample } from "#protocol/api/telemetry.ts";
import type { Db } from "#server/database/connection.ts";
import type { Http } from "#server/http/http.ts";
import { page } from "#server/http/page.ts";
import { vehicleByVin } from "#server/vehicles/queries.ts";
import { listAnomalies, listSamples } from "./queries.ts";

/** Time and number of the last sample of the page before. */
const SampleCursor = Type.String({
  pattern: "^20\\d\\d-[01]\\d-[0-3]\\dT[0-2]\\d:[0-5]\\d:[0-5]\\d\\.\\d{3}Z_\\d{1,15}$",
});
const AnomalyId = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

export function telemetryRoutes({ db }: { db: Db }) {
  const config = { access: { by: "operator" } } as const;
  const tags = ["telemetry"];
  return async (http: Http): Promise<void> => {
    http.get(
      "/vehicles/:vin/telemetry",
      {
        config,
        schema: {
          tags,
          summary: "What a vehicle has measured, newest first",
          params: Type.Object({ vin: VehicleId }),
          querystring: PageQuery(SampleCursor),
          response: { 200: Page(TelemetrySample) },
        },
      },
      async ({ params, query }) => {
        if (!(await vehicleByVin(db, params.vin)))
          throw new ProblemError("VEHICLE_UNKNOWN", params.vin);
        const cursor = query.cursor === undefined ? undefined : readCursor(query.cursor);
        const rows = await listSamples(db, params.vin, { limit: query.limit + 1, cursor });
        return page(query.limit, rows, ({ ts, sample_id }) => `${ts}_${sample_id}`);
      },
    );

    http.get(
      "/anomalies",
      {
        config,
        schema: {
          tags,
          summary: "Measured values that stand out, newest first",
          querystring: Type.Object({
            ...PageQuery(AnomalyId).properties,
            vin: Type.Optional(VehicleId),
          }),
          response: { 200: Page(Anomaly) },
        },
      },
      async ({ query }) =>
        page(
          query.limit,
          await listAnomalies(db, { ...query, limit: query.limit + 1 }),
          (row) => row.anomaly_id,
        ),
    );
  };
}

/** @throws ProblemError REQUEST_INVALID for a time that the calendar or the clock does not have */
function readCursor(text: string): { ts: Date; sampleId: number } {
  const [time = "", id = ""] = text.split("_");
  const ts = new Date(time);
  if (Number.isNaN(ts.getTime()) || ts.toISOString() !== time)
    throw new ProblemError("REQUEST_INVALID", "querystring/cursor has no such time");
  return { ts, sampleId: Number(id) };
}
