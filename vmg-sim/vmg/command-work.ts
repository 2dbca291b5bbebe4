import type { Command } from "#protocol/mqtt/control.ts";
import type { CommandResult } from "./commands.ts";
import type { Pace } from "./pace.ts";
import type { UpdateSummary } from "./update-summary.ts";
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
}

/**
 * What each command does. Repeating one after a restart is safe: an update that was under way is
 * taken up again before, and answers for its command; taking ECUs back looks at what they run.
 */
export function commandWork({ updater, reporter, pace }: CommandWorkDeps) {
  const timestamp = () => pace.now().toISOString();
  return async (command: Command, signal: AbortSignal): Promise<CommandResult> => {
    switch (command.command) {
      case "START_OTA_UPDATE":
      case "ota_update": {
        const options = { reason: "requested", command_id: command.command_id };
        const ecu_ids = chosenEcus(command);
        const done = await updater.update({ ...options, ...(ecu_ids && { ecu_ids }) }, signal);
        return updateResult("ota_update", done, timestamp());
      }
      case "ota_rollback": {
        const done = await updater.rollBack(chosenEcus(command), signal);
        return updateResult("ota_rollback", done, timestamp());
      }
      case "ota_status":
        return { result: statusResult(updater, reporter, timestamp()) };
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

/** `params.ecu_ids`, the only thing that updates and rollbacks take. */
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
  done: UpdateSummary,
  timestamp: string,
): CommandResult {
  const { status, versions, previous_versions, error } = done;
  const isGood =
    action === "ota_rollback"
      ? status === "rolled_back"
      : !["rolled_back", "failed"].includes(status);
  const version = common(versions);
  const previous_version = common(previous_versions);
  const result = {
    action,
    status: isGood ? "success" : "failed",
    ...(status === "nothing_outdated" && { message: "nothing is outdated" }),
    ...(version !== undefined && { version }),
    ...(previous_version !== undefined && { previous_version }),
    versions,
    previous_versions,
    ...(!isGood && { rolled_back: status === "rolled_back" }),
    ...(error && { error: error.message }),
    timestamp,
  };
  if (isGood) return { result };
  return { result, error: error ?? { code: "VMG_FAILED", message: "the update failed" } };
}

function statusResult(updater: Updater, reporter: VciReporter, timestamp: string): object {
  const { record, last } = updater;
  return {
    action: "ota_status",
    status: "success",
    state: updater.state,
    ...(record && { update_id: record.update_id, progress: record.progress, ecus: record.ecus }),
    ...(last && {
      last_update: {
        update_id: last.record.update_id,
        status: last.record.phase,
        finished_at: last.finished_at,
        ...(last.record.error && { error: last.record.error }),
      },
    }),
    versions: Object.fromEntries(reporter.versions),
    timestamp,
  };
}

function common(versions: Record<string, string>): string | undefined {
  const [first, ...others] = new Set(Object.values(versions));
  return others.length === 0 ? first : undefined;
}
