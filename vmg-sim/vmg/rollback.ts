import type { KeyFunction } from "#protocol/uds/security-key.ts";
import type { AgentEvent } from "./event.ts";
import { restartIntoNewBank, revertBank } from "./flash.ts";
import { allSettled } from "./install-plan.ts";
import { softwareVersion } from "./inventory.ts";
import type { UpdateSession } from "./update-session.ts";
import type { NetworkEcu, VehicleNetwork } from "./vehicle-network.ts";

/** An ECU does not run its old version after it was taken back. */
export class RollbackError extends Error {
  readonly code = "ROLLBACK_FAILED";

  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "RollbackError";
  }
}

export interface RollbackDeps {
  network: VehicleNetwork;
  securityKey: KeyFunction;
  onEvent: (event: AgentEvent) => void;
}

/**
 * Takes every ECU that the update has touched back to the version it ran before. One that fails
 * does not keep the others from going back.
 * @throws RollbackError
 */
export async function rollBackAll(
  deps: RollbackDeps,
  session: UpdateSession,
  signal: AbortSignal,
): Promise<void> {
  const touched = session.record.ecus.filter(
    ({ step }) => step !== "waiting" && step !== "reverted",
  );
  await allSettled(
    touched.map(async ({ ecu_id, from_version, to_version }) => {
      await rollBackEcu(deps, ecu_id, from_version, to_version, signal);
      await session.apply({ type: "ecu", ecu_id, step: "reverted" });
    }),
  );
  await session.apply({ type: "reverted" });
}

/**
 * Takes one ECU back from `to` to `from`. It depends on nothing but the version that the ECU runs,
 * so it can be repeated after a restart in the middle.
 * @throws RollbackError
 */
export async function rollBackEcu(
  { network, securityKey, onEvent }: RollbackDeps,
  ecuId: string,
  from: string,
  to: string,
  signal: AbortSignal,
): Promise<void> {
  const ecu = network.findEcu(ecuId);
  if (!ecu) throw new RollbackError(`the vehicle has no ${ecuId}`);
  try {
    let version = await softwareVersion(ecu, signal);
    // The new bank may be activated and not started yet. Only a start takes that back.
    if (version === from) version = await restarted(ecu, signal);
    if (version === to) {
      await revertBank(ecu.link, ecu.logical_address, { signal, securityKey });
      version = await restarted(ecu, signal);
    }
    if (version !== from) throw new RollbackError(`${ecuId} runs ${version}, not ${from}`);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof RollbackError) throw error;
    throw new RollbackError(`${ecuId} could not go back: ${(error as Error).message}`, error);
  }
  onEvent({ type: "ecu_progress", ecu_id: ecuId, step: "reverted" });
}

async function restarted(ecu: NetworkEcu, signal: AbortSignal): Promise<string> {
  await restartIntoNewBank(ecu.link, ecu.logical_address, { signal });
  return softwareVersion(ecu, signal);
}
