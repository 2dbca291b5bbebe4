import type { UpdateStatus } from "#protocol/api/update.ts";
import type { ReportedStatus } from "#protocol/mqtt/ota-status.ts";

/** What an update is: where it stands, and whether the vehicle says that it is done. */
export interface UpdateState {
  status: UpdateStatus;
  /** The vehicle reported `completed`; the proof is a VCI that shows the targets. */
  claimed: boolean;
}

export type UpdateInput =
  | { type: "report"; status: ReportedStatus }
  /** A VCI arrived: does it show every target version? */
  | { type: "vci"; showsTargets: boolean }
  /** Nothing was heard for longer than allowed. */
  | { type: "silence" }
  /** The installation has begun, and its proof has not come in time. */
  | { type: "deadline" }
  /** The vehicle asked for another package instead. */
  | { type: "superseded" }
  | { type: "cancel" };

/** The steps in their order; a report never takes an update back to an earlier one. */
const steps = [
  "pending",
  "deferred",
  "downloading",
  "verifying",
  "backing_up",
  "installing",
  "restarting",
  "health_check",
  "rolling_back",
] as const satisfies UpdateStatus[];

export function isFinal(status: UpdateStatus): boolean {
  return !(steps as readonly UpdateStatus[]).includes(status);
}

/**
 * The next state, or undefined when the input changes nothing: it came late, out of order, or after
 * the end. Success is never taken from a report: only a VCI that shows the targets proves it.
 */
export function nextState(state: UpdateState, input: UpdateInput): UpdateState | undefined {
  if (isFinal(state.status)) return undefined;
  switch (input.type) {
    case "report":
      return afterReport(state, input.status);
    case "vci":
      return afterVci(state, input.showsTargets);
    case "silence":
      return { ...state, status: hasStarted(state.status) ? "failed" : "expired" };
    case "deadline":
      return touchesFlash(state.status) ? { ...state, status: "failed" } : undefined;
    case "superseded":
      return { ...state, status: touchesFlash(state.status) ? "failed" : "cancelled" };
    case "cancel":
      return touchesFlash(state.status) ? undefined : { ...state, status: "cancelled" };
  }
}

function afterReport(state: UpdateState, reported: ReportedStatus): UpdateState | undefined {
  switch (reported) {
    case "failed":
    case "rolled_back":
      return { ...state, status: reported };
    case "completed":
      return state.status === "rolling_back"
        ? undefined
        : { status: "health_check", claimed: true };
    case "deferred":
      // A vehicle waits before it downloads, and again before it installs.
      return touchesFlash(state.status) ? undefined : { ...state, status: "deferred" };
    case "downloading":
    case "verifying":
    case "backing_up":
    case "installing":
    case "restarting":
    case "health_check":
    case "rolling_back": {
      // A file that failed its check may be downloaded again.
      const again = reported === "downloading" && state.status === "verifying";
      return again || rank(reported) >= rank(state.status)
        ? { ...state, status: reported }
        : undefined;
    }
  }
}

function afterVci(state: UpdateState, showsTargets: boolean): UpdateState | undefined {
  if (showsTargets) return touchesFlash(state.status) ? { ...state, status: "success" } : undefined;
  return state.claimed ? { ...state, status: "failed" } : undefined;
}

function rank(status: UpdateStatus): number {
  return (steps as readonly UpdateStatus[]).indexOf(status);
}

/** Is the vehicle at work on it? */
export function hasStarted(status: UpdateStatus): boolean {
  return rank(status) >= rank("downloading");
}

/** Has the installation begun? */
export function touchesFlash(status: UpdateStatus): boolean {
  return rank(status) >= rank("installing");
}

export interface Target {
  ecu_id: string;
  zone_id: string;
  ecu_type: string;
  hardware_version: string;
  firmware_id: string;
  from_version: string;
  to_version: string;
}

/** Do the ECUs run every target version? */
export function showsTargets(
  targets: readonly Pick<Target, "ecu_id" | "to_version">[],
  ecus: readonly { ecu_id: string; software_version: string }[],
): boolean {
  const versions = new Map(ecus.map(({ ecu_id, software_version }) => [ecu_id, software_version]));
  return targets.every(({ ecu_id, to_version }) => versions.get(ecu_id) === to_version);
}
