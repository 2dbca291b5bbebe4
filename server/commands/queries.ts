import { sql, type Selectable } from "kysely";
import type { CommandState, UpdateParams } from "#protocol/api/command.ts";
import { actionOf, type Command, type CommandTarget } from "#protocol/mqtt/control.ts";
import type { RemoteConfig, RemoteConfigMessage } from "#protocol/mqtt/remote-config.ts";
import type { Db } from "#server/database/connection.ts";
import { before, narrowing, open, undelivered, type CommandStatus } from "./command.ts";
import type { CommandTable } from "./table.ts";

export interface NewCommand {
  command_id: string;
  vin: string;
  command: Command["command"];
  params: Record<string, unknown> | undefined;
  target?: CommandTarget | undefined;
  issued_by: string;
  expires_at: Date;
  idempotency_key?: string | undefined;
}

/** @returns undefined when there is one with its idempotency key */
export async function insertCommand(
  db: Db,
  { params, target, idempotency_key, ...command }: NewCommand,
): Promise<CommandState | undefined> {
  const row = await db
    .insertInto("command")
    .values({
      ...command,
      params: params === undefined ? null : JSON.stringify(params),
      target: target === undefined ? null : JSON.stringify(target),
      idempotency_key: idempotency_key ?? null,
    })
    .onConflict((conflict) =>
      conflict
        .columns(["issued_by", "idempotency_key"])
        .where("idempotency_key", "is not", null)
        .doNothing(),
    )
    .returningAll()
    .executeTakeFirst();
  return row && asState(row);
}

export async function commandByKey(
  db: Db,
  issuedBy: string,
  key: string,
): Promise<CommandState | undefined> {
  const row = await db
    .selectFrom("command")
    .selectAll()
    .where("issued_by", "=", issuedBy)
    .where("idempotency_key", "=", key)
    .executeTakeFirst();
  return row && asState(row);
}

/** An operator's command to update that a vehicle is carrying out. */
export interface UpdateCommand extends UpdateParams {
  command_id: string;
  force: boolean;
}

/** Undefined when the vehicle has no such command, or when it is over, cancelled or expired. */
export async function openUpdateCommand(
  db: Db,
  vin: string,
  commandId: string,
): Promise<UpdateCommand | undefined> {
  const row = await db
    .selectFrom("command")
    .select(["command_id", "command", "params"])
    .where("command_id", "=", commandId)
    .where("vin", "=", vin)
    .where("command", "in", ["ota_update", "START_OTA_UPDATE"])
    .where("status", "in", open)
    .where("expires_at", ">", sql<Date>`now()`)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { command_id, command, params } = row;
  const narrowed = narrowing(command, params ?? undefined);
  return { ...narrowed, command_id, force: narrowed.force ?? false };
}

/** What a vehicle has not received yet, oldest first, but for those that are on their way. */
export async function undeliveredCommands(
  db: Db,
  vin: string,
  onTheirWay: readonly string[],
): Promise<Command[]> {
  const rows = await db
    .selectFrom("command")
    .selectAll()
    .where("vin", "=", vin)
    .where("status", "in", undelivered)
    .where("expires_at", ">", sql<Date>`now()`)
    .where(sql<boolean>`command_id <> all (${onTheirWay}::uuid[])`)
    .orderBy("command_id")
    .limit(100)
    .execute();
  return rows.map((row) => ({
    command_id: row.command_id,
    command: row.command,
    action: actionOf(row.command),
    ...row.target,
    ...(actionOf(row.command) === "ota_update" && { force: row.params?.["force"] === true }),
    ...(row.params === null ? {} : { params: row.params }),
    issued_at: row.created_at.toISOString(),
    expires_at: row.expires_at.toISOString(),
  }));
}

/** Moves a command on, if it may. @returns false when there is none, or it may not */
export async function moveCommand(
  db: Db,
  vin: string,
  commandId: string,
  to: CommandStatus,
  result?: unknown,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("command")
    .set({
      status: to,
      updated_at: sql<Date>`now()`,
      ...(result === undefined ? {} : { result: JSON.stringify(result) }),
    })
    .where("command_id", "=", commandId)
    .where("vin", "=", vin)
    .where("status", "in", before(to))
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

export async function commandById(db: Db, commandId: string): Promise<CommandState | undefined> {
  const row = await db
    .selectFrom("command")
    .selectAll()
    .where("command_id", "=", commandId)
    .executeTakeFirst();
  return row && asState(row);
}

/** Commands to a vehicle, newest first, from behind `cursor` on. */
export async function listCommands(
  db: Db,
  vin: string,
  { limit, cursor }: { limit: number; cursor?: string | undefined },
): Promise<CommandState[]> {
  let query = db
    .selectFrom("command")
    .selectAll()
    .where("vin", "=", vin)
    .orderBy("command_id", "desc")
    .limit(limit);
  if (cursor !== undefined) query = query.where("command_id", "<", cursor);
  return (await query.execute()).map(asState);
}

/** Expires what waited too long. @returns how many */
export async function expireCommands(db: Db): Promise<number> {
  const { numUpdatedRows } = await db
    .updateTable("command")
    .set({ status: "expired", updated_at: sql<Date>`now()` })
    .where("status", "in", before("expired"))
    .where("expires_at", "<=", sql<Date>`now()`)
    .executeTakeFirst();
  return Number(numUpdatedRows);
}

/** Sets a vehicle's remote configuration. @returns undefined when there is no such vehicle */
export async function saveRemoteConfig(
  db: Db,
  vin: string,
  config: RemoteConfig,
): Promise<RemoteConfigMessage | undefined> {
  const row = await db
    .updateTable("vehicle")
    .set({ config: JSON.stringify(config), config_revision: sql<number>`config_revision + 1` })
    .where("vin", "=", vin)
    .returning("config_revision as revision")
    .executeTakeFirst();
  return row && { revision: row.revision, config };
}

/** A vehicle's remote configuration; undefined when none was ever set. */
export async function remoteConfig(db: Db, vin: string): Promise<RemoteConfigMessage | undefined> {
  const row = await db
    .selectFrom("vehicle")
    .select(["config", "config_revision as revision"])
    .where("vin", "=", vin)
    .executeTakeFirst();
  return row?.config ? { revision: row.revision, config: row.config } : undefined;
}

function asState(row: Selectable<CommandTable>): CommandState {
  return {
    ...row,
    created_at: row.created_at.toISOString(),
    expires_at: row.expires_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}
