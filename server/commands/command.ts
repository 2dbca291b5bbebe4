import { commandStatuses, type CommandState } from "#protocol/api/command.ts";
import type { CommandResponse } from "#protocol/mqtt/control.ts";

export type CommandStatus = CommandState["status"];

/** Not yet known to have reached the vehicle: to be sent (again) when it listens. */
export const undelivered = ["queued", "sent"] as const satisfies CommandStatus[];

/** Still waiting for something from the vehicle; these expire. */
const open = ["queued", "sent", "delivered", "accepted"] as const satisfies CommandStatus[];

/**
 * May a command that stands at `from` come to `to`? It only ever moves forward, and once: what has
 * an outcome keeps it. An answer that comes after the expiry is an answer all the same.
 */
export function mayBecome(from: CommandStatus, to: CommandStatus): boolean {
  if (from === "expired") return isAnswer(to);
  return (open as readonly CommandStatus[]).includes(from) && rank(to) > rank(from);
}

/** The statuses that may become `to`: what an update statement asks for. */
export function before(to: CommandStatus): CommandStatus[] {
  return commandStatuses.filter((from) => mayBecome(from, to));
}

function isAnswer(status: CommandStatus): status is CommandResponse["status"] {
  return status === "completed" || status === "failed" || status === "rejected";
}

/** The statuses are listed in the order of a command's life. */
function rank(status: CommandStatus): number {
  return commandStatuses.indexOf(status);
}
