import { Type, type Static } from "typebox";
import type { PackageAnswer } from "#protocol/api/ota.ts";
import { Deferral } from "#protocol/mqtt/deferral.ts";
import { reportedStatuses, type ReportedStatus } from "#protocol/mqtt/ota-status.ts";
import { AssignedImage } from "./assigned-image.ts";
import { Failure } from "./failure.ts";

/**
 * Where an update is, in the words of its reports. `completed` still owes the gateway the VCI that
 * proves it; `rolled_back` and `failed` have nothing left to do.
 */
export type UpdatePhase = Exclude<ReportedStatus, "deferred">;
export const updatePhases: readonly UpdatePhase[] = reportedStatuses.filter(
  (status) => status !== "deferred",
);

/**
 * Where one ECU is. `flashing`: its inactive bank is being written and can't boot. `flashed`: the
 * bank boots on trial at the next reset. `trial`: it runs. `confirmed`: it stays.
 */
export const ecuSteps = [
  "waiting",
  "flashing",
  "flashed",
  "trial",
  "confirmed",
  "reverted",
] as const;
export type EcuStep = (typeof ecuSteps)[number];

const UpdateEcu = Type.Object({
  ecu_id: Type.String(),
  zone_id: Type.String(),
  from_version: Type.String(),
  to_version: Type.String(),
  install_order: Type.Optional(Type.Integer({ description: "As its verified package has it" })),
  step: Type.Enum(ecuSteps),
});
export type UpdateEcu = Static<typeof UpdateEcu>;

/** All that is known of the running update; kept in a file at every step. */
export const UpdateRecord = Type.Object({
  update_id: Type.String(),
  package_id: Type.String(),
  download_url: Type.String(),
  size: Type.Integer({ minimum: 0 }),
  checksum: Type.String(),
  command_id: Type.Optional(Type.String({ description: "The command that asked for it" })),
  phase: Type.Enum([...updatePhases]),
  progress: Type.Number({ minimum: 0, maximum: 100 }),
  resumes: Type.Integer({ minimum: 0, description: "Restarts of the VMG while installing" }),
  ecus: Type.Array(UpdateEcu),
  assigned: Type.Optional(
    Type.Array(AssignedImage, { description: "What full verification lets the ECUs install" }),
  ),
  error: Type.Optional(Failure),
  deferral: Type.Optional(Type.Array(Deferral, { description: "Why it waits" })),
});
export type UpdateRecord = Static<typeof UpdateRecord>;

export type UpdateEvent =
  | { type: "authorized"; assigned: AssignedImage[] }
  | { type: "downloaded" }
  | { type: "verified" }
  /** The versions that the ECUs run now, to return to, and the order to go on in. */
  | {
      type: "backed_up";
      versions: ReadonlyMap<string, string>;
      orders: ReadonlyMap<string, number>;
    }
  | { type: "ecu"; ecu_id: string; step: EcuStep }
  | { type: "installed" }
  | { type: "restarted" }
  | { type: "healthy" }
  | { type: "reverted" }
  | { type: "failed"; error: Failure }
  | { type: "progressed"; progress: number }
  /** It may not go on yet. */
  | { type: "deferred"; reasons: Deferral[] }
  /** It may go on. */
  | { type: "ready" }
  /** The VMG was restarted: the versions that the ECUs run now, without those that are silent. */
  | { type: "resumed"; versions: ReadonlyMap<string, string> };

/** An installation that takes the VMG down this often is given up. */
const MAX_RESUMES = 3;

/** A new record for what the gateway offers. */
export function startUpdate(offer: PackageAnswer, command_id?: string): UpdateRecord {
  return {
    update_id: offer.update_id,
    package_id: offer.package_id,
    download_url: offer.download_url,
    size: offer.size,
    checksum: offer.checksum,
    ...(command_id === undefined ? {} : { command_id }),
    phase: "downloading",
    progress: 0,
    resumes: 0,
    ecus: offer.zones.flatMap(({ zone_id, ecus }) =>
      ecus.map(({ ecu_id, current_version, target_version }) => ({
        ecu_id,
        zone_id,
        from_version: current_version,
        to_version: target_version,
        step: "waiting" as const,
      })),
    ),
  };
}

/** The record after an event; undefined for an event that its phase does not allow. */
export function transition(record: UpdateRecord, event: UpdateEvent): UpdateRecord | undefined {
  if (isOver(record.phase)) return undefined;
  switch (event.type) {
    case "authorized":
      if (record.phase !== "downloading") return undefined;
      return { ...record, assigned: event.assigned };
    case "downloaded":
      return advance(record, "downloading", "verifying");
    case "verified":
      return advance(record, "verifying", "backing_up");
    case "backed_up":
      return backedUp(record, event);
    case "ecu":
      return ecuStepped(record, event.ecu_id, event.step);
    case "installed":
      return advance(record, "installing", "restarting", ["flashed", "trial"]);
    case "restarted":
      return advance(record, "restarting", "health_check", ["trial"]);
    case "healthy":
      return advance(record, "health_check", "completed", ["confirmed"]);
    case "reverted":
      return advance(record, "rolling_back", "rolled_back", ["waiting", "reverted"]);
    case "failed":
      return failed(undeferred(record), event.error);
    case "deferred":
      return mayWait(record.phase) ? { ...record, deferral: event.reasons } : undefined;
    case "ready":
      return mayWait(record.phase) ? undeferred(record) : undefined;
    case "progressed":
      return { ...record, progress: Math.max(record.progress, Math.min(event.progress, 100)) };
    default:
      return resumed(record, event.versions);
  }
}

/** An update waits before its download, and again before the first ECU is touched. */
function mayWait(phase: UpdatePhase): boolean {
  return phase === "downloading" || phase === "backing_up";
}

function undeferred({ deferral: _, ...record }: UpdateRecord): UpdateRecord {
  return record;
}

/** Nothing more happens to an update in this phase. */
export function isOver(phase: UpdatePhase): boolean {
  return phase === "completed" || phase === "rolled_back" || phase === "failed";
}

/** May the ECUs of an update in this phase differ from what they were before it? */
export function touchesEcus(phase: UpdatePhase): boolean {
  return isInstallation(phase) || phase === "rolling_back";
}

function isInstallation(phase: UpdatePhase): boolean {
  return phase === "installing" || phase === "restarting" || phase === "health_check";
}

/** Moves on when the record is in `from` and every ECU has reached one of `steps`. */
function advance(
  record: UpdateRecord,
  from: UpdatePhase,
  to: UpdatePhase,
  steps?: readonly EcuStep[],
): UpdateRecord | undefined {
  if (record.phase !== from) return undefined;
  if (steps && !record.ecus.every((ecu) => steps.includes(ecu.step))) return undefined;
  return { ...record, phase: to, progress: to === "completed" ? 100 : record.progress };
}

function backedUp(
  record: UpdateRecord,
  { versions, orders }: Extract<UpdateEvent, { type: "backed_up" }>,
): UpdateRecord | undefined {
  if (!record.ecus.every((ecu) => versions.has(ecu.ecu_id))) return undefined;
  const next = advance(record, "backing_up", "installing");
  return (
    next && {
      ...next,
      ecus: record.ecus.map((ecu) => ({
        ...ecu,
        from_version: versions.get(ecu.ecu_id) ?? ecu.from_version,
        install_order: orders.get(ecu.ecu_id) ?? 0,
      })),
    }
  );
}

/** The steps that an ECU may take in each phase, by the step it is at. */
const ecuMoves: Partial<Record<UpdatePhase, Partial<Record<EcuStep, readonly EcuStep[]>>>> = {
  installing: { waiting: ["flashing"], flashing: ["flashed"] },
  restarting: { flashed: ["trial"] },
  health_check: { trial: ["confirmed"] },
  rolling_back: {
    flashing: ["reverted"],
    flashed: ["reverted"],
    trial: ["reverted"],
    confirmed: ["reverted"],
  },
};

function ecuStepped(record: UpdateRecord, ecuId: string, step: EcuStep): UpdateRecord | undefined {
  const ecu = record.ecus.find(({ ecu_id }) => ecu_id === ecuId);
  if (!ecu || !ecuMoves[record.phase]?.[ecu.step]?.includes(step)) return undefined;
  return { ...record, ecus: record.ecus.map((one) => (one === ecu ? { ...one, step } : one)) };
}

/** Before an ECU was touched a failure ends the update; later the ECUs go back first. */
function failed(record: UpdateRecord, error: Failure): UpdateRecord {
  if (isInstallation(record.phase)) return { ...record, phase: "rolling_back", error };
  if (record.phase !== "rolling_back" || record.error === undefined) {
    return { ...record, phase: "failed", error };
  }
  const { code, message } = record.error;
  return {
    ...record,
    phase: "failed",
    error: {
      code: error.code,
      message: `${error.message} (rolling back after ${code}: ${message})`.slice(0, 1024),
    },
  };
}

/**
 * What a restart of the VMG means for a half-done installation. An ECU whose flash was cut off is
 * flashed again from the start. One that ran on trial and is back at its old version has lost its
 * trial (a reset without confirmation reverts it), so everything goes back.
 */
function resumed(record: UpdateRecord, versions: ReadonlyMap<string, string>): UpdateRecord {
  if (!isInstallation(record.phase)) return record;
  const resumes = record.resumes + 1;
  const lost = record.ecus.find(
    (ecu) =>
      (ecu.step === "trial" || ecu.step === "confirmed") &&
      versions.get(ecu.ecu_id) !== ecu.to_version,
  );
  if (lost) {
    const message = `the vehicle was restarted while ${lost.ecu_id} ran its new bank on trial`;
    return failed({ ...record, resumes }, { code: "UPDATE_INTERRUPTED", message });
  }
  if (resumes > MAX_RESUMES) {
    const message = `the vehicle was restarted ${resumes} times during the installation`;
    return failed({ ...record, resumes }, { code: "UPDATE_INTERRUPTED", message });
  }
  return {
    ...record,
    resumes,
    ecus: record.ecus.map((ecu) => ({ ...ecu, step: stepAfterRestart(ecu, versions) })),
  };
}

function stepAfterRestart(ecu: UpdateEcu, versions: ReadonlyMap<string, string>): EcuStep {
  if (ecu.step !== "flashing" && ecu.step !== "flashed") return ecu.step;
  if (versions.get(ecu.ecu_id) === ecu.to_version) return "trial";
  return ecu.step === "flashing" ? "waiting" : "flashed";
}
