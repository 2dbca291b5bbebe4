import type { KeyFunction } from "#protocol/uds/security-key.ts";
import { Did } from "#protocol/uds/did.ts";
import type { AgentEvent } from "./event.ts";
import { checkHealth, confirmBank, restartIntoNewBank } from "./flash.ts";
import { flashPatiently } from "./flash-retry.ts";
import { allSettled, installPlan, inWaves } from "./install-plan.ts";
import { softwareVersion } from "./inventory.ts";
import { letVerify, type MetadataFor } from "./metadata-handover.ts";
import { imageBytes, type VerifiedImage, type VerifiedPackage } from "./package-file.ts";
import type { Pace } from "./pace.ts";
import { readDid } from "./read-did.ts";
import type { UpdateSession } from "./update-session.ts";
import type { UpdateEcu } from "./update-state.ts";
import type { NetworkEcu, VehicleNetwork } from "./vehicle-network.ts";
import type { VehicleTrust } from "./vehicle-trust.ts";

export type InstallErrorCode =
  | "ECU_UNKNOWN"
  | "ECU_TYPE_MISMATCH"
  | "ECU_VERSION_UNEXPECTED"
  | "ECU_NOT_RESTARTED"
  | "INSTALLATION_TIMEOUT"
  | "HEALTH_CHECK_FAILED";

/** An ECU is not what the package was made for, or not what it should be after a step, in time. */
export class InstallError extends Error {
  readonly code: InstallErrorCode;

  constructor(code: InstallErrorCode, message: string) {
    super(message);
    this.name = "InstallError";
    this.code = code;
  }
}

export interface InstallDeps {
  network: VehicleNetwork;
  securityKey: KeyFunction;
  trust: VehicleTrust | undefined;
  healthCheck: { retries: number; interval_ms: number };
  pace: Pace;
  onEvent: (event: AgentEvent) => void;
}

/**
 * Looks at every ECU before any of them is touched: each must answer, be of the type that its image
 * is for, run the version that the gateway planned from, and take the director's metadata.
 * @throws InstallError, UptaneError, the link's errors
 */
export async function backUp(
  deps: InstallDeps,
  session: UpdateSession,
  { images }: VerifiedPackage,
  signal: AbortSignal,
): Promise<void> {
  const versions = new Map<string, string>();
  for (const planned of session.record.ecus) {
    const ecu = networkEcu(deps.network, planned.ecu_id);
    const version = await softwareVersion(ecu, signal);
    if (version !== planned.from_version) {
      throw new InstallError(
        "ECU_VERSION_UNEXPECTED",
        `${ecu.ecu_id} runs ${version}, not ${planned.from_version}`,
      );
    }
    const type = String(await readDid(ecu, Did.systemName, signal));
    const wanted = images.find((image) => image.ecu.ecu_id === ecu.ecu_id)?.ecu.ecu_type;
    if (type !== wanted) {
      throw new InstallError(
        "ECU_TYPE_MISMATCH",
        `${ecu.ecu_id} is a ${type}, its image is for a ${wanted}`,
      );
    }
    versions.set(ecu.ecu_id, version);
  }
  await letAllVerify(deps, session, signal);
  const orders = new Map(images.map(({ ecu }) => [ecu.ecu_id, ecu.install_order]));
  await session.apply({ type: "backed_up", versions, orders });
}

/** Writes every image that is not written yet into its ECU's inactive bank and activates the bank. */
export async function flashAll(
  deps: InstallDeps,
  session: UpdateSession,
  pkg: VerifiedPackage,
  signal: AbortSignal,
): Promise<void> {
  await letZonesVerify(deps, session, signal);
  const total = pkg.images.reduce((sum, { ecu }) => sum + ecu.image.length, 0);
  const written = new Map<string, number>();
  const progress = (ecu_id: string, bytes: number) => {
    written.set(ecu_id, bytes);
    const done = [...written.values()].reduce((sum, one) => sum + one, 0);
    session.progress(done / total, { ecu_id });
  };
  for (const image of pkg.images) {
    if (stepOf(session, image.ecu.ecu_id) !== "waiting") {
      written.set(image.ecu.ecu_id, image.ecu.image.length);
    }
  }
  for (const wave of installPlan(pkg.images)) {
    await allSettled(
      wave.map(async (zone) => {
        for (const image of zone) {
          if (stepOf(session, image.ecu.ecu_id) !== "waiting") continue;
          await flashOne(deps, session, pkg.file, image, progress, signal);
        }
      }),
    );
  }
  await session.apply({ type: "installed" });
}

/** Starts every ECU into its new bank, where it runs on trial. */
export async function restartAll(
  deps: InstallDeps,
  session: UpdateSession,
  signal: AbortSignal,
): Promise<void> {
  await eachEcu(deps, session, async (planned, ecu) => {
    if (planned.step !== "flashed") return;
    await restartIntoNewBank(ecu.link, ecu.logical_address, { signal });
    const version = await softwareVersion(ecu, signal);
    if (version !== planned.to_version) {
      throw new InstallError(
        "ECU_NOT_RESTARTED",
        `${ecu.ecu_id} runs ${version} after its restart, not ${planned.to_version}`,
      );
    }
    await session.apply({ type: "ecu", ecu_id: ecu.ecu_id, step: "trial" });
    deps.onEvent({ type: "ecu_progress", ecu_id: ecu.ecu_id, step: "restarted" });
  });
  await session.apply({ type: "restarted" });
}

/** Makes the new banks permanent, once every one of them has passed its self test. */
export async function confirmAll(
  deps: InstallDeps,
  session: UpdateSession,
  signal: AbortSignal,
): Promise<void> {
  await eachEcu(deps, session, async (planned, ecu) => {
    if (planned.step !== "trial") return;
    await waitUntilHealthy(deps, ecu, signal);
    deps.onEvent({ type: "ecu_progress", ecu_id: ecu.ecu_id, step: "healthy" });
  });
  await eachEcu(deps, session, async (planned, ecu) => {
    if (planned.step !== "trial") return;
    await confirmBank(ecu.link, ecu.logical_address, { signal, securityKey: deps.securityKey });
    await session.apply({ type: "ecu", ecu_id: ecu.ecu_id, step: "confirmed" });
    deps.onEvent({ type: "ecu_progress", ecu_id: ecu.ecu_id, step: "confirmed" });
  });
  await session.apply({ type: "healthy" });
}

/** Every zonal gateway and ECU verifies by itself before the first of them is written. */
async function letAllVerify(
  deps: InstallDeps,
  session: UpdateSession,
  signal: AbortSignal,
): Promise<void> {
  await letZonesVerify(deps, session, signal);
  await eachEcu(deps, session, (_, ecu) => letOneVerify(deps, ecu.ecu_id, ecu, signal));
}

async function letZonesVerify(
  deps: InstallDeps,
  { record }: UpdateSession,
  signal: AbortSignal,
): Promise<void> {
  const ids = new Set(record.ecus.map(({ zone_id }) => zone_id));
  const zones = deps.network.zones.filter(({ zone_id }) => ids.has(zone_id));
  await allSettled(zones.map((zone) => letOneVerify(deps, zone.zone_id, zone, signal)));
}

async function letOneVerify(
  deps: InstallDeps,
  id: string,
  { link, logical_address }: Pick<NetworkEcu, "link" | "logical_address">,
  signal: AbortSignal,
): Promise<void> {
  const metadata = metadataOf(deps);
  if (metadata === undefined) return;
  const { securityKey, onEvent } = deps;
  const started = performance.now();
  const bytes = await letVerify(link, logical_address, { securityKey, signal }, metadata);
  if (bytes === 0) return;
  const duration_ms = Math.round(performance.now() - started);
  onEvent({ type: "partially_verified", by: id, bytes, duration_ms });
}

function metadataOf({ trust }: InstallDeps): MetadataFor | undefined {
  return trust && ((knownRoot) => trust.bundle(knownRoot));
}

/** @throws InstallError ECU_UNKNOWN */
function networkEcu(network: VehicleNetwork, ecuId: string): NetworkEcu {
  const ecu = network.findEcu(ecuId);
  if (!ecu) throw new InstallError("ECU_UNKNOWN", `the vehicle has no ${ecuId}`);
  return ecu;
}

async function flashOne(
  deps: InstallDeps,
  session: UpdateSession,
  file: string,
  image: VerifiedImage,
  progress: (ecuId: string, bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const { ecu_id, version, image: content } = image.ecu;
  const { length } = content;
  const ecu = networkEcu(deps.network, ecu_id);
  await session.apply({ type: "ecu", ecu_id, step: "flashing" });
  const options = () => ({
    image: imageBytes(file, image),
    length,
    sha256: Buffer.from(content.sha256, "hex"),
    version,
    signal,
    securityKey: deps.securityKey,
    metadata: metadataOf(deps),
    onProgress(bytes: number) {
      deps.onEvent({ type: "ecu_progress", ecu_id, step: "flashing", bytes, length });
      progress(ecu_id, bytes);
    },
  });
  await flashPatiently(ecu.link, ecu.logical_address, options, deps.pace);
  await session.apply({ type: "ecu", ecu_id, step: "flashed" });
  deps.onEvent({ type: "ecu_progress", ecu_id, step: "flashed", bytes: length, length });
}

async function waitUntilHealthy(
  { healthCheck, pace }: InstallDeps,
  ecu: NetworkEcu,
  signal: AbortSignal,
): Promise<void> {
  let reason = "its self test failed";
  for (let attempt = 0; attempt < healthCheck.retries; attempt++) {
    if (attempt > 0) await pace.wait(healthCheck.interval_ms, signal);
    try {
      if (await checkHealth(ecu.link, ecu.logical_address, { signal })) return;
    } catch (error) {
      signal.throwIfAborted();
      reason = (error as Error).message;
    }
  }
  throw new InstallError("HEALTH_CHECK_FAILED", `${ecu.ecu_id}: ${reason}`);
}

/** Side by side over the zonal gateways, one ECU after the other in each. */
async function eachEcu(
  { network }: InstallDeps,
  session: UpdateSession,
  work: (planned: UpdateEcu, ecu: NetworkEcu) => Promise<void>,
): Promise<void> {
  for (const wave of inWaves(session.record.ecus, ({ install_order = 0 }) => install_order)) {
    await allSettled(
      wave.map(async (ecus) => {
        for (const planned of ecus) await work(planned, networkEcu(network, planned.ecu_id));
      }),
    );
  }
}

function stepOf(session: UpdateSession, ecuId: string): UpdateEcu["step"] | undefined {
  return session.record.ecus.find(({ ecu_id }) => ecu_id === ecuId)?.step;
}
