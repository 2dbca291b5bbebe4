import { auditChanges } from "#server/audit/changes.ts";
import { catalogueRoutes } from "#server/diagnostics/catalogue-routes.ts";
import { firmwareRoutes } from "#server/firmware/routes.ts";
import { healthRoutes } from "#server/http/health.ts";
import { packageRoutes } from "#server/packages/routes.ts";
import { targetingRoutes } from "#server/targeting/routes.ts";
import { telemetryRoutes } from "#server/telemetry/routes.ts";
import { telemetryTopics } from "#server/telemetry/topics.ts";
import { metadataRoutes } from "#server/trust/metadata-routes.ts";
import { trustRoutes } from "#server/trust/routes.ts";
import { endBeforeLeaving } from "#server/updates/leaving.ts";
import { updateTopics } from "#server/updates/topics.ts";
import { vehicleRoutes } from "#server/vehicles/routes.ts";
import { vehicleTopics } from "#server/vehicles/topics.ts";
import type { Http } from "#server/http/http.ts";
import type { Base, Parts } from "./parts.ts";

type Routes = (http: Http) => Promise<void>;

/** Gives the parts' routes to the HTTPS listener. */
export async function registerRoutes(parts: Parts, base: Base): Promise<void> {
  const { http, rights } = parts;
  const { metrics, state } = base;
  const { db } = base.database;
  await http.register(healthRoutes({ db, metrics, state }));
  await http.register(
    async (api) => {
      auditChanges(api, rights.audit);
      for (const routes of allRoutes(parts, base)) await api.register(routes);
    },
    { prefix: "/api/v1" },
  );
}

function allRoutes(parts: Parts, { config, metrics, database: { db } }: Base): Routes[] {
  const { blobs, catalogues, fleet, listeners, operators, remote, trust } = parts;
  return [
    ...operators.routes(remote.tokenRevoked),
    vehicleRoutes({
      db,
      minimumChanged: listeners.minimumChanged,
      leaving: (vin) => endBeforeLeaving(fleet.updates, vin),
    }),
    targetingRoutes({ db }),
    firmwareRoutes({
      ...trust,
      blobs,
      releases: fleet.campaigns.catalogue,
      maxSize: config.firmware.max_size,
      level: config.firmware.compression_level,
    }),
    packageRoutes({
      db,
      blobs,
      metrics,
      downloadsPerVehicle: config.packages.downloads_per_vehicle,
    }),
    ...listeners.certificateRoutes,
    metadataRoutes(trust),
    trustRoutes(trust),
    parts.commands.routes,
    telemetryRoutes({ db }),
    catalogueRoutes({ catalogues }),
    ...parts.requests.routes,
    ...parts.rightsRoutes,
    ...remote.routes,
    ...fleet.routes,
    ...parts.events.routes,
  ];
}

/** Has the parts handle what vehicles publish. */
export function handleTopics(
  parts: Parts,
  { config, log, metrics, presence, database }: Base,
): void {
  const { db } = database;
  const handlers = [
    ...vehicleTopics({ db, presence }),
    ...updateTopics({ ...parts.fleet.updates, log }),
    ...parts.commands.topics,
    ...telemetryTopics({ db, config: config.telemetry, presence, metrics, log }),
    ...parts.requests.topics,
    ...parts.remote.topics,
  ];
  for (const handler of handlers) parts.mqtt.handle(handler);
}
