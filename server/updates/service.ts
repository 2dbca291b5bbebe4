import type { KeyObject } from "node:crypto";
import type { VciAnswer } from "#protocol/api/ota.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { checkVci, type Vci } from "#protocol/api/vci.ts";
import type { DetectedAttack } from "#protocol/api/vehicle.ts";
import type { OtaStatus } from "#protocol/mqtt/ota-status.ts";
import type { Tx } from "#server/database/connection.ts";
import type { Log } from "#server/runtime/log.ts";
import { evidenceOf } from "#server/vehicles/evidence.ts";
import { currentVci, noteSightings, saveVci } from "#server/vehicles/queries.ts";
import { checkAnswer } from "./answer.ts";
import type { IssueDeps } from "./issue.ts";
import * as queries from "./queries.ts";
import { apply, step } from "./transition.ts";
import { nextState, showsTargets } from "./update.ts";

export type UpdateDeps = IssueDeps;

/**
 * Stores a VCI with the evidence for it, settles the running update by it, and answers what is
 * outdated.
 * @param certificateKey of the connection that it came by
 * @throws ProblemError VCI_*, VEHICLE_NOT_REGISTERED
 */
export async function submitVci(
  deps: UpdateDeps & { log: Log },
  vin: string,
  vci: Vci,
  certificateKey: () => KeyObject | undefined = () => undefined,
): Promise<VciAnswer> {
  checkVci(vci);
  const evidence = evidenceOf(vin, vci, certificateKey);
  const { vci_id, isNew } = await deps.db.transaction().execute(async (tx) => {
    const saved = await saveVci(tx, vin, vci, evidence);
    if (saved === undefined)
      throw new ProblemError("VEHICLE_NOT_REGISTERED", `${vin} must register first`);
    // One that comes again says nothing of what the vehicle has done since.
    if (saved.isNew) {
      await settleByVci(deps, tx, vin, vci.ecus);
      for (const listener of deps.listeners) await listener.reported(tx, vin, vci.ecus);
    }
    await noteSightings(tx, [{ vin, at: new Date() }]);
    return saved;
  });
  if (isNew) reportAttacks(deps.log, vin, evidence.attacks);
  return { vci_id, ...checkAnswer(await deps.checkIns.planFor(vin, vci.ecus)) };
}

/** A vehicle may tell of hundreds, at length. */
const MAX_LOGGED_ATTACKS = 10;

function reportAttacks(log: Log, vehicle: string, attacks: readonly DetectedAttack[]): void {
  if (attacks.length === 0) return;
  const attacks_detected = attacks.slice(0, MAX_LOGGED_ATTACKS);
  const what = `The vehicle has detected attacks on ${attacks.length} of its ECUs`;
  log.warn({ vehicle, attacks_detected }, what);
}

/**
 * Takes a step that the vehicle reports.
 * @throws ProblemError UPDATE_UNKNOWN when the vehicle has no such update
 */
export async function reportStatus(
  deps: UpdateDeps,
  vin: string,
  report: OtaStatus,
): Promise<void> {
  await deps.db.transaction().execute(async (tx) => {
    const update = await queries.lockUpdate(tx, vin, report.update_id);
    if (update === undefined) throw new ProblemError("UPDATE_UNKNOWN", report.update_id);
    await takeReport(deps, tx, vin, update, report);
    await noteSightings(tx, [{ vin, at: new Date() }]);
  });
}

async function takeReport(
  deps: UpdateDeps,
  tx: Tx,
  vin: string,
  update: queries.OpenUpdate,
  report: OtaStatus,
): Promise<void> {
  const next = nextState(update, { type: "report", status: report.status });
  await queries.insertEvent(tx, report, next !== undefined);
  if (next === undefined) return;
  const progress = Math.max(report.progress, update.progress);
  const { error, ecu_id } = report;
  const reasons = report.status === "deferred" ? report.reasons : undefined;
  await apply(deps, tx, vin, update, { ...next, progress, error, ecu_id, reasons, heard: true });
  if (report.status !== "completed") return;
  // The proof may be there already: the VCI and this report come by different ways.
  const vci = await currentVci(tx, vin);
  if (vci && showsTargets(update.targets, vci.ecus)) {
    await step(deps, tx, vin, { ...update, ...next }, { type: "vci", showsTargets: true });
  }
}

/**
 * Ends an update that was silent for too long, unless it has been heard of after `since`.
 * @returns whether it ended
 */
export async function endSilentUpdate(
  deps: UpdateDeps,
  vin: string,
  updateId: string,
  since: Date,
): Promise<boolean> {
  return deps.db.transaction().execute(async (tx) => {
    const update = await queries.lockUpdate(tx, vin, updateId);
    if (update === undefined || update.last_report_at > since) return false;
    return step(
      deps,
      tx,
      vin,
      update,
      { type: "silence" },
      {
        code: "UPDATE_SILENT",
        message: `nothing was heard of it since ${since.toISOString()}`,
      },
    );
  });
}

/** Ends an update whose installation has begun and was not proven in time. @returns whether it ended */
export async function endOverdueUpdate(
  deps: UpdateDeps,
  vin: string,
  updateId: string,
  now: Date,
): Promise<boolean> {
  return deps.db.transaction().execute(async (tx) => {
    const update = await queries.lockUpdate(tx, vin, updateId);
    if (!update?.deadline_at || update.deadline_at >= now) return false;
    const message = `its proof was due at ${update.deadline_at.toISOString()}`;
    const error = { code: "UPDATE_DEADLINE", message };
    return step(deps, tx, vin, update, { type: "deadline" }, error);
  });
}

/** @throws ProblemError UPDATE_UNKNOWN, UPDATE_TRANSITION_REFUSED once flash is being written */
export async function cancelUpdate(deps: UpdateDeps, vin: string, updateId: string): Promise<void> {
  await deps.db.transaction().execute(async (tx) => {
    const update = await queries.lockUpdate(tx, vin, updateId);
    if (update === undefined) throw new ProblemError("UPDATE_UNKNOWN", updateId);
    if (!(await step(deps, tx, vin, update, { type: "cancel" }))) {
      throw new ProblemError("UPDATE_TRANSITION_REFUSED", `it is ${update.status}`);
    }
  });
}

async function settleByVci(
  deps: UpdateDeps,
  tx: Tx,
  vin: string,
  ecus: Vci["ecus"],
): Promise<void> {
  const open = await queries.lockOpenUpdate(tx, vin);
  if (open === undefined) return;
  await step(
    deps,
    tx,
    vin,
    open,
    { type: "vci", showsTargets: showsTargets(open.targets, ecus) },
    {
      code: "UPDATE_CONTRADICTED",
      message: "the vehicle reported completion, but its VCI does not show the target versions",
    },
  );
}
