import { Compile } from "typebox/compile";
import { commandStatuses, UpdateParams, type CommandState } from "#protocol/api/command.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { actionOf, type CommandName, type CommandResponse } from "#protocol/mqtt/control.ts";

export type CommandStatus = CommandState["status"];

/** Not yet known to have reached the vehicle: to be sent (again) when it listens. */
export const undelivered = ["queued", "sent"] as const satisfies CommandStatus[];

/** Still waiting for something from the vehicle; these expire. */
export const open = ["queued", "sent", "delivered", "accepted"] as const satisfies CommandStatus[];

/**
 * May a command that stands at `from` come to `to`? It only ever moves forward, and once: what has
 * an outcome keeps it. An answer that comes after the expiry is an answer all the same, and so is
 * one to a command that was cancelled while it was being sent.
 */
export function mayBecome(from: CommandStatus, to: CommandStatus): boolean {
  if (from === "expired" || from === "cancelled") return isAnswer(to);
  if (to === "cancelled") return from === "queued";
  return (open as readonly CommandStatus[]).includes(from) && rank(to) > rank(from);
}

/** The statuses that may become `to`: what an update statement asks for. */
export function before(to: CommandStatus): CommandStatus[] {
  return commandStatuses.filter((from) => mayBecome(from, to));
}

/** Does nothing more come of it, as far as anybody knows? */
export function isOver(status: CommandStatus): boolean {
  return !(open as readonly CommandStatus[]).includes(status);
}

const updateParams = Compile(UpdateParams);

/**
 * What an update, or a rollback, is narrowed to.
 * @throws ProblemError COMMAND_INVALID for params that it does not take
 */
export function narrowing(
  command: CommandName,
  params: Readonly<Record<string, unknown>> = {},
): UpdateParams {
  if (!["ota_update", "ota_rollback"].includes(actionOf(command))) return {};
  if (updateParams.Check(params)) return params;
  const [first] = updateParams.Errors(params);
  throw new ProblemError(
    "COMMAND_INVALID",
    `params${first?.instancePath ?? ""} ${first?.message ?? ""}`.trim(),
  );
}

function isAnswer(status: CommandStatus): status is CommandResponse["status"] {
  return status === "completed" || status === "failed" || status === "rejected";
}

/** The statuses are listed in the order of a command's life. */
function rank(status: CommandStatus): number {
  return commandStatuses.indexOf(status);
}
