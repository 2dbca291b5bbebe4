import type { ServerConfig } from "#config/server.ts";
import type { TopLevelRole } from "#protocol/uptane/metadata.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import type { Db } from "#server/database/connection.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { OnlineKeys } from "./online-keys.ts";

export interface TrustDeps {
  db: Db;
  keys: OnlineKeys;
  config: ServerConfig["trust"];
  log: Log;
  metrics: Pick<Metrics, "trustExpires">;
  /** Called when signed targets may name other images than before. */
  imagesSettled?: () => Promise<void>;
}

/** The roles that the gateway signs itself; the others' keys never come near it. */
export const ONLINE_ROLES: Readonly<Record<RepositoryName, readonly TopLevelRole[]>> = {
  director: ["targets", "snapshot", "timestamp"],
  image: ["snapshot", "timestamp"],
};

/** A gateway that can't be trusted by its vehicles does not start. The message says what to do. */
export class TrustError extends Error {
  readonly code:
    | "TRUST_PASSPHRASE_MISSING"
    | "TRUST_DEVELOPMENT_KEYS"
    | "TRUST_ROOT_MISSING"
    | "TRUST_ROOT_MISMATCH";

  constructor(code: TrustError["code"], message: string) {
    super(message);
    this.name = "TrustError";
    this.code = code;
  }
}

/**
 * The version after this one: the time in seconds, or one more. Vehicles refuse versions that go
 * back, and by the time they go on also when the database was restored from an older backup.
 */
export function nextVersion(previous: number | undefined, now: Date): number {
  return Math.max((previous ?? 0) + 1, Math.floor(now.getTime() / 1000));
}

const HOUR = 3_600_000;

export function inHours(now: Date, hours: number): Date {
  return new Date(now.getTime() + hours * HOUR);
}

/** Is so little of its time left that it is signed anew? */
export function isDue(
  expiresAt: Date,
  hours: number,
  { renew_before }: ServerConfig["trust"],
  now: Date,
): boolean {
  return expiresAt.getTime() - now.getTime() <= hours * HOUR * renew_before;
}
