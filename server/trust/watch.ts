import { issueListing } from "./image.ts";
import { liveExpiries, lockRepository, vehiclesByRoot } from "./queries.ts";
import { isDue, ONLINE_ROLES, type TrustDeps } from "./trust.ts";

const DAY = 24 * 3_600_000;
const HOUR = 3_600_000;

/**
 * A round of maintenance: renews what the gateway signs before it ends, keeps the metric of what
 * ends when, and warns of what has to be signed offline. Directors renew themselves when they are
 * asked for, so nothing here grows with the fleet.
 * @returns what a round does
 */
export function watchExpiry(deps: TrustDeps): (now: Date) => Promise<void> {
  const warned = new Map<string, number>();
  return async (now) => {
    await renewListing(deps, now);
    for (const { repository, role, version, expires_at } of await liveExpiries(deps.db)) {
      const left = expires_at.getTime() - now.getTime();
      deps.metrics.trustExpires.set({ repository, role }, left / 1000);
      const isOnline = (ONLINE_ROLES[repository] as readonly string[]).includes(role);
      const key = `${repository} ${role} ${version}`;
      const isKnown = now.getTime() - (warned.get(key) ?? 0) < HOUR;
      if (isOnline || left > deps.config.warn_before_d * DAY || isKnown) continue;
      warned.set(key, now.getTime());
      const counts = await vehiclesByRoot(deps.db, repository);
      const vehicles = counts
        .filter(({ root_version }) => root_version !== null)
        .reduce((sum, { vehicles: count }) => sum + count, 0);
      deps.log.warn(
        { repository, role, version, expires_at: expires_at.toISOString(), vehicles },
        `Signed metadata ends soon: sign the ${repository}'s ${role} offline and publish it, or ` +
          `${vehicles} vehicles will refuse every update`,
      );
    }
  };
}

/** Issues the image repository's snapshot and timestamp when either ends soon. */
async function renewListing(deps: TrustDeps, now: Date): Promise<void> {
  const isListingDue = async (db: TrustDeps["db"]) => {
    const ends = (role: string) => expiries.find((each) => each.role === role)?.expires_at;
    const expiries = (await liveExpiries(db)).filter(({ repository }) => repository === "image");
    const { config } = deps;
    const [snapshot, timestamp] = [ends("snapshot"), ends("timestamp")];
    return (
      snapshot !== undefined &&
      timestamp !== undefined &&
      (isDue(snapshot, config.snapshot_h, config, now) ||
        isDue(timestamp, config.timestamp_h, config, now))
    );
  };
  if (!(await isListingDue(deps.db))) return;
  await deps.db.transaction().execute(async (tx) => {
    await lockRepository(tx, "image");
    // Another gateway may have been first.
    if (await isListingDue(tx)) await issueListing(deps, tx, now);
  });
}
