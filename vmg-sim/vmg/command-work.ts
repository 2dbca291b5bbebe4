import type { Command } from "#protocol/mqtt/control.ts";
import type { CommandResult } from "./commands.ts";
import type { Pace } from "./pace.ts";
import { failureOf } from "./failure.ts";
import { unchanged, type UpdateSummary } from "./update-summary.ts";
import type { Updater } from "./updater.ts";
import type { VciReporter } from "./vci-reporter.ts";

/** A command's params are not what it takes. */
export class CommandParamsError extends Error {
  readonly code = "COMMAND_PARAMS_INVALID";

  constructor(message: string) {
    super(message);
    this.name = "CommandParamsError";
  }
}

export interface CommandWorkDeps {
  updater: Updater;
  reporter: VciReporter;
  pace: Pace;
  /** Room for packages, in bytes. */
  freeBytes: () => Promise<number>;
}

/**
 * What each command does. Repeating one after a restart is safe: an update that was under way is
 * taken up again before, and answers for its command; taking ECUs back looks at what they run. A
 * command whose update has to wait is answered at its end.
 */
export function commandWork(deps: CommandWorkDeps) {
  const { updater, reporter, pace } = deps;
  const timestamp = () => pace.now().toISOString();
  const updating = async (
    action: "ota_update" | "ota_rollback",
    signal: AbortSignal,
    work: () => Promise<UpdateSummary>,
  ): Promise<CommandResult> => {
    try {
      return updateResult(action, await work(), timestamp());
    } catch (error) {
      signal.throwIfAborted();
      const known = unchanged(reporter.versions);
      return updateResult(
        action,
        { ...known, status: "failed", error: failureOf(error) },
        timestamp(),
      );
    }
  };
  return async (command: Command, signal: AbortSignal): Promise<CommandResult> => {
    switch (command.command) {
      case "START_OTA_UPDATE":
      case "ota_update": {
        return updating("ota_update", signal, async () => {
          const options = { reason: "requested", command_id: command.command_id };
          const ecu_ids = chosenEcus(command);
          const ended = updater.ended(signal);
          // Unless the update waits, nobody waits for this.
          ended.catch(() => undefined);
          const done = await updater.update({ ...options, ...(ecu_ids && { ecu_ids }) }, signal);
          return done.status === "deferred" ? ended : done;
        });
      }
      case "ota_rollback":
        return updating("ota_rollback", signal, () =>
          updater.rollBack(chosenEcus(command), signal),
        );
      case "ota_status":
        return { result: statusResult(deps, timestamp(), await deps.freeBytes()) };
      default: {
        const answer = await updater.inTurn(() => reporter.submit("requested", signal));
        const { vci_id, outdated_ecus, blocked } = answer;
        const result = {
          action: "REQUEST_VCI",
          status: "success",
          vci_id,
          versions: Object.fromEntries(reporter.versions),
          outdated: outdated_ecus.map(({ ecu_id }) => ecu_id),
          blocked: blocked.map(({ ecu_id }) => ecu_id),
          timestamp: timestamp(),
        };
        return { result };
      }
    }
  };
}

/** `params.ecu_ids`; what else narrows an update the gateway sees to. */
function chosenEcus({ params }: Command): string[] | undefined {
  const chosen = params?.["ecu_ids"];
  if (chosen === undefined) return undefined;
  const isList = Array.isArray(chosen) && chosen.length > 0 && chosen.length <= 256;
  if (!isList || !chosen.every((id) => typeof id === "string")) {
    throw new CommandParamsError("ecu_ids is a list of ECU ids");
  }
  return chosen;
}

/** The answer that a VMG gives to an update command, by ECU, and in one when all agree. */
function updateResult(
  action: "ota_update" | "ota_rollback",
  { status, versions, previous_versions, error }: UpdateSummary,
  timestamp: string,
): CommandResult {
  const isGood =
    action === "ota_rollback"
      ? status === "rolled_back"
      : !["rolled_back", "failed"].includes(status);
  const version = common(versions);
  const previous_version = common(previous_versions);
  if (isGood) {
    const result = {
      action,
      status: "success",
      ...(status === "nothing_outdated" && { message: "nothing is outdated" }),
      ...(version !== undefined && { version }),
      ...(previous_version !== undefined && { previous_version }),
      versions,
      previous_versions,
      timestamp,
    };
    return { result };
  }
  const why = error ?? { code: "VMG_FAILED", message: "the update failed" };
  const result = {
    action,
    status: "failed",
    error: why.message,
    rolled_back: status === "rolled_back",
    ...(version !== undefined && { current_version: version }),
    current_versions: versions,
    timestamp,
  };
  return { result, error: why };
}

const GIGABYTE = 1e9;

function statusResult(
  { updater, reporter }: CommandWorkDeps,
  timestamp: string,
  freeBytes: number,
): object {
  const { record, last, state } = updater;
  const versions = Object.fromEntries(reporter.versions);
  const current_version = common(versions);
  return {
    action: "ota_status",
    status: "success",
    state,
    ...(current_version !== undefined && { current_version }),
    update_status: state,
    last_update_time: last?.finished_at ?? null,
    disk_free_gb: Math.round((freeBytes / GIGABYTE) * 10) / 10,
    ...(record && { update_id: record.update_id, progress: record.progress, ecus: record.ecus }),
    ...(record?.deferral && { reasons: record.deferral }),
    ...(last && {
      last_update: {
        update_id: last.record.update_id,
        status: last.record.phase,
        finished_at: last.finished_at,
        ...(last.record.error && { error: last.record.error }),
      },
    }),
    versions,
    timestamp,
  };
}

function common(versions: Record<string, string>): string | undefined {
  const [first, ...others] = new Set(Object.values(versions));
  return others.length === 0 ? first : undefined;
}
