import type { ServerConfig } from "#config/server.ts";
import type { Db } from "#server/database/connection.ts";
import type { ReleaseBook } from "#server/firmware/release-book.ts";
import type { Assembler } from "#server/packages/assemble.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import { createCheckIns } from "#server/updates/check-in.ts";
import type { UpdateListener } from "#server/updates/moved.ts";
import type { OfferSource } from "#server/updates/offer.ts";
import type { UpdateDeps } from "#server/updates/service.ts";

/** What vehicles are told when they check in, and what comes of it. */
export function composeUpdates(parts: {
  db: Db;
  config: ServerConfig;
  metrics: Metrics;
  releases: ReleaseBook;
  assembler: Assembler;
  offers: OfferSource;
  started: (vin: string) => void;
}): UpdateDeps {
  const { config, offers, ...base } = parts;
  const listeners: UpdateListener[] = [];
  return {
    ...base,
    listeners,
    checkIns: createCheckIns({ ...base, offers }),
    ttlHours: config.packages.ttl_h,
    deadlineMinutes: config.updates.install_deadline_min,
  };
}
