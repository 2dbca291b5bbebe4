import { randomUUIDv7 } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Static } from "typebox";
import type { CommandRequest, CommandState } from "#protocol/api/command.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { actionOf, type CommandTarget } from "#protocol/mqtt/control.ts";
import type { Db } from "#server/database/connection.ts";
import type { Waiters } from "#server/runtime/waiters.ts";
import { vehicleByVin } from "#server/vehicles/queries.ts";
import { isOver, narrowing } from "./command.ts";
import type { Delivery } from "./delivery.ts";
import {
  commandById,
  commandByKey,
  insertCommand,
  moveCommand,
  type UpdateCommand,
} from "./queries.ts";

export interface CommandDeps {
  db: Db;
  delivery: Delivery;
  /** Those who wait for a command's outcome, by its id. */
  outcomes: Waiters;
  /** How long a command waits when the operator says nothing, in seconds. */
  ttlSeconds: number;
  /** The package that a command to update would bring; undefined where there is none. */
  target: (vin: string, command: UpdateCommand) => Promise<CommandTarget | undefined>;
}

/**
 * Gives a vehicle a command, and waits for its answer as long as the operator likes.
 * @returns the command as it stands then; an earlier one with the same idempotency key
 * @throws ProblemError VEHICLE_UNKNOWN, COMMAND_INVALID, IDEMPOTENCY_KEY_REUSED
 */
export async function giveCommand(
  deps: CommandDeps,
  vin: string,
  body: Static<typeof CommandRequest>,
  issuedBy: string,
): Promise<CommandState> {
  const { db, delivery, ttlSeconds } = deps;
  const { command, params, idempotency_key, ttl_s = ttlSeconds, wait_ms = 0 } = body;
  const narrowed = narrowing(command, params);
  await demandVehicle(db, vin);
  const command_id = randomUUIDv7();
  const earlier = await earlierCommand(deps, vin, body, issuedBy);
  if (earlier !== undefined) return afterOutcome(deps, earlier, wait_ms);
  const { force = false } = narrowed;
  const target =
    actionOf(command) === "ota_update"
      ? await deps.target(vin, { ...narrowed, command_id, force })
      : undefined;
  const given = await insertCommand(db, {
    command_id,
    vin,
    command,
    params,
    target,
    issued_by: issuedBy,
    expires_at: new Date(Date.now() + ttl_s * 1000),
    idempotency_key,
  });
  // Somebody else has used the key at the same moment.
  if (given === undefined) return giveCommand(deps, vin, body, issuedBy);
  delivery.commands(vin);
  return afterOutcome(deps, given, wait_ms);
}

/** @throws ProblemError COMMAND_UNKNOWN; COMMAND_NOT_QUEUED once it is on its way */
export async function cancelCommand(deps: CommandDeps, commandId: string): Promise<CommandState> {
  const { vin } = await existingCommand(deps.db, commandId);
  const isCancelled = await moveCommand(deps.db, vin, commandId, "cancelled");
  const state = await existingCommand(deps.db, commandId);
  if (!isCancelled) throw new ProblemError("COMMAND_NOT_QUEUED", `it is ${state.status}`);
  deps.outcomes.wake(commandId);
  return state;
}

/** @throws ProblemError COMMAND_UNKNOWN */
export async function existingCommand(db: Db, commandId: string): Promise<CommandState> {
  const state = await commandById(db, commandId);
  if (state === undefined) throw new ProblemError("COMMAND_UNKNOWN", commandId);
  return state;
}

/** @throws ProblemError VEHICLE_UNKNOWN */
export async function demandVehicle(db: Db, vin: string): Promise<void> {
  if (!(await vehicleByVin(db, vin))) throw new ProblemError("VEHICLE_UNKNOWN", vin);
}

/** @throws ProblemError IDEMPOTENCY_KEY_REUSED */
async function earlierCommand(
  { db }: CommandDeps,
  vin: string,
  { idempotency_key, command, params }: Static<typeof CommandRequest>,
  issuedBy: string,
): Promise<CommandState | undefined> {
  if (idempotency_key === undefined) return undefined;
  const earlier = await commandByKey(db, issuedBy, idempotency_key);
  if (earlier === undefined) return undefined;
  const isSame =
    earlier.vin === vin &&
    earlier.command === command &&
    isDeepStrictEqual(earlier.params, params ?? null);
  if (!isSame) throw new ProblemError("IDEMPOTENCY_KEY_REUSED", earlier.command_id);
  return earlier;
}

/** The vehicle may answer to another gateway. */
const LOOK_EVERY_MS = 1000;

async function afterOutcome(
  { db, outcomes }: CommandDeps,
  given: CommandState,
  waitMs: number,
): Promise<CommandState> {
  const until = performance.now() + waitMs;
  let state = given;
  while (!isOver(state.status)) {
    const left = until - performance.now();
    if (left <= 0) break;
    const woken = outcomes.wait(given.command_id, Math.min(left, LOOK_EVERY_MS));
    // Its answer may have come before anybody waited.
    state = await existingCommand(db, given.command_id);
    if (isOver(state.status)) break;
    await woken;
    state = await existingCommand(db, given.command_id);
  }
  return state;
}
