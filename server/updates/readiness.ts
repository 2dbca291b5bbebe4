import { ProblemError } from "#protocol/api/problem.ts";
import type { ReadinessAnswer, ReadinessRequest } from "#protocol/api/readiness.ts";
import type { Deferral } from "#protocol/mqtt/deferral.ts";
import { openUpdateCommand } from "#server/commands/queries.ts";
import type { Db, Tx } from "#server/database/connection.ts";
import type { PolicyBook } from "#server/policies/policy-book.ts";
import { readiness } from "#server/policies/readiness.ts";
import { targetVehicle } from "#server/targeting/vehicles.ts";
import { noteSightings } from "#server/vehicles/queries.ts";
import { lockUpdate, type OpenUpdate } from "./queries.ts";
import { clearDeferral, packageSize, withdrawnTargets } from "./readiness-queries.ts";
import { apply, step, type TransitionDeps } from "./transition.ts";
import { isFinal, nextState, touchesFlash } from "./update.ts";

/** An update that its vehicle wants to go on with. */
export type GoingUpdate = Pick<OpenUpdate, "update_id" | "campaign_id" | "targets"> & {
  vin: string;
};

export interface ReadinessDeps extends TransitionDeps {
  db: Db;
  policies: Pick<PolicyBook, "policyFor">;
  /**
   * What else keeps an update from going on, such as its campaign; a reason without
   * `retry_after_s` ends it.
   */
  mayGoOn: (tx: Tx, update: GoingUpdate, now: Date) => Promise<Deferral[]>;
}

/**
 * Whether a vehicle may download, or install. What keeps it is noted with the update, which is
 * deferred, or cancelled where waiting does not help. What writes to flash already goes on.
 * @throws ProblemError VEHICLE_NOT_REGISTERED, UPDATE_UNKNOWN
 */
export async function answerReadiness(
  deps: ReadinessDeps,
  vin: string,
  request: ReadinessRequest,
): Promise<ReadinessAnswer> {
  const { db, policies } = deps;
  const { command_id, update_id, phase, conditions } = request;
  const now = new Date();
  const vehicle = await targetVehicle(db, vin);
  if (vehicle === undefined) throw new ProblemError("VEHICLE_NOT_REGISTERED", vin);
  const approval =
    command_id === undefined ? undefined : await openUpdateCommand(db, vin, command_id);
  return db.transaction().execute(async (tx) => {
    const update = await lockUpdate(tx, vin, update_id);
    if (update === undefined) throw new ProblemError("UPDATE_UNKNOWN", update_id);
    await noteSightings(tx, [{ vin, at: now }]);
    if (isFinal(update.status)) {
      return {
        ready: false,
        reasons: [{ code: "UPDATE_ENDED", detail: `it is ${update.status}` }],
      };
    }
    if (touchesFlash(update.status)) return { ready: true, reasons: [] };
    const { time_zone } = vehicle;
    const policy = policies.policyFor(vehicle);
    const size = await packageSize(tx, update.package_id);
    const asked = { policy, time_zone, phase, conditions, size, approval, now };
    const found = readiness(asked);
    const reasons = [
      ...(await withdrawn(tx, update)),
      ...(await deps.mayGoOn(tx, { ...update, vin }, now)),
      ...(found.ready ? [] : found.reasons),
    ];
    return settle(deps, tx, vin, update, reasons);
  });
}

async function settle(
  deps: TransitionDeps,
  tx: Tx,
  vin: string,
  update: OpenUpdate,
  reasons: Deferral[],
): Promise<ReadinessAnswer> {
  if (reasons.length === 0) {
    await clearDeferral(tx, update.update_id);
    return { ready: true, reasons };
  }
  const final = reasons.find(({ retry_after_s }) => retry_after_s === undefined);
  if (final !== undefined) {
    const error = { code: final.code, message: final.detail };
    await step(deps, tx, vin, update, { type: "cancel" }, error);
    return { ready: false, reasons };
  }
  const next = nextState(update, { type: "report", status: "deferred" });
  if (next) await apply(deps, tx, vin, update, { ...next, reasons, heard: true });
  const retry_after_s = Math.max(1, ...reasons.map((reason) => reason.retry_after_s ?? 0));
  return { ready: false, reasons, retry_after_s };
}

/** Nobody installs what has been taken out of the catalogue since. */
async function withdrawn(tx: Tx, { targets }: OpenUpdate): Promise<Deferral[]> {
  const names = await withdrawnTargets(
    tx,
    targets.map(({ firmware_id }) => firmware_id),
  );
  return names.map((detail) => ({ code: "FIRMWARE_WITHDRAWN", detail }));
}
