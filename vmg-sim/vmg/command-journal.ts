import { Type, type Static } from "typebox";
import { Command, CommandResponse } from "#protocol/mqtt/control.ts";
import { stateFile } from "./state-file.ts";

const Entry = Type.Object({
  command: Command,
  response: Type.Optional(CommandResponse),
  /** The response is in the outbox. */
  sent: Type.Optional(Type.Boolean()),
});
type Entry = Static<typeof Entry>;

/** The recent commands and what they came to: each is carried out once, also over a restart. */
export interface CommandJournal {
  find(commandId: string): Entry | undefined;
  /** Notes on disk that the command will be carried out. */
  begin(command: Command): Promise<void>;
  /** Notes what it came to. */
  finish(command: Command, response: CommandResponse): Promise<void>;
  /** Notes that the response can't be lost any more. */
  sent(command: Command): Promise<void>;
  /** What a restart interrupted, oldest first: without a response, or with one that is not sent. */
  unsettled(): Entry[];
}

const CAPACITY = 64;

export async function openCommandJournal(file: string): Promise<CommandJournal> {
  const state = stateFile(file, Type.Array(Entry));
  const entries = new Map(
    ((await state.read()) ?? []).map((entry) => [entry.command.command_id, entry]),
  );
  const save = (entry: Entry) => {
    entries.set(entry.command.command_id, entry);
    const settled = [...entries.values()].filter(({ sent }) => sent);
    for (const { command } of settled.slice(0, Math.max(0, entries.size - CAPACITY))) {
      entries.delete(command.command_id);
    }
    return state.write([...entries.values()]);
  };
  return {
    find: (commandId) => entries.get(commandId),
    begin: (command) => save({ command }),
    finish: (command, response) => save({ command, response }),
    async sent({ command_id }) {
      const entry = entries.get(command_id);
      if (entry) await save({ ...entry, sent: true });
    },
    unsettled: () => [...entries.values()].filter(({ sent }) => !sent),
  };
}
