import { join } from "node:path";
import type { Logger } from "pino";
import type { ReadinessPhase } from "#protocol/api/readiness.ts";
import type { TrustedKeys } from "#protocol/uptane/key.ts";
import { downloadPackage } from "./download.ts";
import { failureOf } from "./failure.ts";
import type { GatewayClient } from "./gateway-client.ts";
import {
  backUp,
  confirmAll,
  flashAll,
  InstallError,
  restartAll,
  type InstallDeps,
} from "./install.ts";
import { verifyPackage, type VerifiedPackage } from "./package-file.ts";
import type { Backoff } from "./pace.ts";
import { UptaneError } from "#protocol/uptane/uptane-error.ts";
import { assignedImages, checkStillAssigned } from "./assigned-image.ts";
import { holdingBack, type Held } from "./readiness.ts";
import { rollBackAll } from "./rollback.ts";
import type { UpdateSession } from "./update-session.ts";
import { isOver } from "./update-state.ts";
import type { VehicleConditions } from "./vehicle-conditions.ts";
import type { VehicleTrust } from "./vehicle-trust.ts";

export interface UpdateRunDeps extends InstallDeps {
  client: GatewayClient;
  /** Folder for packages. */
  downloads: string;
  download: Backoff;
  /** How long an installation may take before it is rolled back. */
  installationMs: number;
  /** Keys that sign packages, for a vehicle without trust roots. */
  trustedKeys: TrustedKeys;
  trust: VehicleTrust | undefined;
  /** Volts between which the supply is fit for an installation. */
  supply: { voltage_min: number; voltage_max: number };
  /** What the vehicle is doing. */
  conditions: VehicleConditions;
  /** Begins to look at the whole vehicle, for who wants to know what an update changed. */
  scan: (updateId: string, phase: "before_update" | "after_update") => void;
  /** Has whatever else is going on with these ECUs ended, and waits for it. */
  release: (ecuIds: readonly string[]) => Promise<void>;
  log: Logger;
}

/**
 * Brings an update from wherever it is to its end: completed, rolled back or failed; or to where it
 * has to wait, which is noted in the record. Whatever goes
 * wrong becomes part of the record; only a stop of the VMG, and storage that fails, come out as
 * errors and leave the record as it is, to be taken up after the next start.
 * @returns why and how long it waits; undefined at its end
 * @throws the signal's reason
 */
export async function runUpdate(
  deps: UpdateRunDeps,
  session: UpdateSession,
  signal: AbortSignal,
): Promise<Held | undefined> {
  let verified: VerifiedPackage | undefined;
  const checkedPackage = async () => (verified ??= await verify(deps, session, signal));
  const installing = timeLimit(deps.installationMs, signal);

  async function step(): Promise<Held | void> {
    switch (session.record.phase) {
      case "downloading": {
        const held = await waits(deps, session, "download", signal);
        if (held) return held;
        // During the download: the installation need not wait for it.
        deps.scan(session.record.update_id, "before_update");
        await authorize(deps, session, signal);
        return download(deps, session, signal);
      }
      case "verifying":
        await checkedPackage();
        // While the ECUs can still be asked to undo what was done with them.
        await release(deps, session);
        return session.apply({ type: "verified" });
      case "backing_up": {
        const held = await waits(deps, session, "install", signal);
        if (held) return held;
        await release(deps, session);
        const pkg = await checkedPackage();
        await stayAuthorized(deps, session, signal);
        return backUp(deps, session, pkg, signal);
      }
      case "installing": {
        const pkg = await checkedPackage();
        await stayAuthorized(deps, session, signal);
        return flashAll(deps, session, pkg, installing.signal());
      }
      case "restarting":
        return restartAll(deps, session, installing.signal());
      case "health_check":
        return confirmAll(deps, session, installing.signal());
      default:
        return rollBackAll(deps, session, signal);
    }
  }

  while (!isOver(session.record.phase)) {
    try {
      const held = await step();
      if (held) return held;
    } catch (error) {
      signal.throwIfAborted();
      const { update_id, phase } = session.record;
      const failure = failureOf((phase !== "rolling_back" && installing.exceeded()) || error);
      deps.log.error({ update_id, phase, err: error }, "a step of the update failed");
      await session.apply({ type: "failed", error: failure });
    }
  }
  return undefined;
}

/** Time runs from the first `signal` on: what was done before a restart of the VMG does not count. */
function timeLimit(ms: number, signal: AbortSignal) {
  let limited: { timeout: AbortSignal; either: AbortSignal } | undefined;
  return {
    signal(): AbortSignal {
      if (limited === undefined) {
        const timeout = AbortSignal.timeout(ms);
        limited = { timeout, either: AbortSignal.any([signal, timeout]) };
      }
      return limited.either;
    },
    exceeded(): InstallError | undefined {
      if (limited?.timeout.aborted !== true) return undefined;
      const what = `the installation has taken longer than ${ms / 1000} s`;
      return new InstallError("INSTALLATION_TIMEOUT", what);
    },
  };
}

async function waits(
  deps: UpdateRunDeps,
  session: UpdateSession,
  phase: ReadinessPhase,
  signal: AbortSignal,
): Promise<Held | undefined> {
  const held = await holdingBack(deps, session.record, phase, signal);
  await (held ? session.defer(held.reasons) : session.ready());
  return held;
}

function release(deps: UpdateRunDeps, { record }: UpdateSession): Promise<void> {
  return deps.release(record.ecus.map(({ ecu_id }) => ecu_id));
}

/** Where the package of an update is kept. */
export function packageFile(downloads: string, packageId: string): string {
  return join(downloads, `${encodeURIComponent(packageId)}.tar`);
}

/** Nothing is downloaded that the director and the image repository have not signed. */
async function authorize(
  { trust }: UpdateRunDeps,
  session: UpdateSession,
  signal: AbortSignal,
): Promise<void> {
  const { record } = session;
  if (trust === undefined || record.assigned !== undefined) return;
  const assignments = await trust.authorize(record.update_id, signal);
  await session.apply({ type: "authorized", assigned: assignedImages(record, assignments) });
}

/** What an installation may take, from the first ECU to the last. */
const INSTALLATION_MS = 3_600_000;

/**
 * Has the director say the same again when what it said has ended since the download began, or would
 * during the installation: no zonal gateway and no ECU would take it any more. An installation that is
 * taken up again asks only when it has ended: that no gateway is in reach must not undo it.
 * @throws UptaneError, also UPTANE_PACKAGE_MISMATCH when it now says something else; GatewayError, the
 *   signal's reason
 */
async function stayAuthorized(
  { trust, pace }: UpdateRunDeps,
  { record }: UpdateSession,
  signal: AbortSignal,
): Promise<void> {
  if (trust === undefined) return;
  const needed = record.phase === "backing_up" ? INSTALLATION_MS : 0;
  if ((await trust.validUntil()) > pace.now().getTime() + needed) return;
  const assignments = await trust.authorize(record.update_id, signal);
  checkStillAssigned(record.assigned ?? [], assignedImages(record, assignments));
}

async function download(
  { client, downloads, download, pace, onEvent }: UpdateRunDeps,
  session: UpdateSession,
  signal: AbortSignal,
): Promise<void> {
  const { update_id, package_id, download_url, size, checksum } = session.record;
  const started = pace.now().getTime();
  let percent = -1;
  const result = await downloadPackage(
    { client, backoff: download, pace },
    {
      url: download_url,
      file: packageFile(downloads, package_id),
      size,
      checksum,
      signal,
      onProgress(bytes) {
        const now = Math.floor((bytes / size) * 100);
        if (now === percent) return;
        percent = now;
        onEvent({ type: "download_progress", update_id, bytes, size });
        session.progress(bytes / size, { bytes_downloaded: bytes });
      },
    },
  );
  const duration_ms = pace.now().getTime() - started;
  onEvent({ type: "downloaded", update_id, size, ...result, duration_ms });
  await session.apply({ type: "downloaded" }, { bytes_downloaded: size });
}

async function verify(
  { downloads, trustedKeys, trust, pace, onEvent }: UpdateRunDeps,
  session: UpdateSession,
  signal: AbortSignal,
): Promise<VerifiedPackage> {
  const { record } = session;
  if (trust !== undefined && record.assigned === undefined) {
    const what = "the update was begun without any";
    throw new UptaneError("UPTANE_METADATA_MISSING", "director targets", what);
  }
  const started = pace.now().getTime();
  const isVerifying = record.phase === "verifying";
  const keys = (await trust?.packageKeys()) ?? trustedKeys;
  const verified = await verifyPackage(packageFile(downloads, record.package_id), record, keys, {
    signal,
    onProgress: (done) => isVerifying && session.progress(done),
  });
  onEvent({
    type: "verified",
    update_id: record.update_id,
    signatures: [...new Set([...keys.values()].map(({ scheme }) => scheme.algorithm))],
    files: verified.images.map(({ ecu }) => ({
      ecu_id: ecu.ecu_id,
      path: ecu.path,
      bytes: ecu.image.length,
    })),
    duration_ms: pace.now().getTime() - started,
  });
  return verified;
}
