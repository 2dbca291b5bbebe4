import type { Logger } from "pino";
import { Compile } from "typebox/compile";
import { Command, type CommandResponse } from "#protocol/mqtt/control.ts";
import type { CommandJournal } from "./command-journal.ts";
import type { AgentEvent } from "./event.ts";
import { failureOf, type Failure } from "./failure.ts";
import type { Pace } from "./pace.ts";

/** What carrying out a command came to. */
export interface CommandResult {
  result: object;
  error?: Failure;
}

export interface CommandsDeps {
  journal: CommandJournal;
  pace: Pace;
  log: Logger;
  /** Carries a command out; after a restart of the VMG it may be half done already. */
  execute: (command: Command, signal: AbortSignal) => Promise<CommandResult>;
  /** Sends a response; resolves when it can't be lost any more. */
  respond: (response: CommandResponse) => Promise<void>;
  onEvent: (event: AgentEvent) => void;
}

export interface Commands {
  /** Takes a message of the control topic; resolves when the command can't be lost any more. */
  handle(payload: unknown): Promise<void>;
  /** Takes up the commands that a restart interrupted. */
  resume(): void;
  /** Gives up what is under way; it is taken up again after the next start. */
  stop(): Promise<void>;
}

/** Commands that may wait or run at once. */
const MAX_PENDING = 16;

type ResponseMaker = (
  command: Pick<Command, "command_id">,
  status: CommandResponse["status"],
  more?: Pick<CommandResponse, "result" | "error">,
) => CommandResponse;

const validCommand = Compile(Command);

/** Carries out each command once; a repeat is answered with what the first one came to. */
export function createCommands(deps: CommandsDeps): Commands {
  const { journal, pace, log, onEvent } = deps;
  const stopping = new AbortController();
  const background = backgroundWork(log);

  const response: ResponseMaker = ({ command_id }, status, more = {}) => ({
    command_id,
    status,
    ...more,
    ts: pace.now().toISOString(),
  });

  async function tell(command: Command, answer: CommandResponse): Promise<void> {
    await deps.respond(answer);
    await journal.sent(command);
    onEvent({ type: "command_handled", command, response: answer });
  }

  async function run(command: Command): Promise<void> {
    const outcome = await deps
      .execute(command, stopping.signal)
      .catch((error: unknown) => ({ result: {}, error: failureOf(error) }));
    if (stopping.signal.aborted) return;
    const { result, error } = outcome;
    if (error) log.warn({ command: command.command, error }, "a command failed");
    const status = error ? "failed" : "completed";
    const answer = response(command, status, { result, ...(error && { error }) });
    await journal.finish(command, answer);
    await tell(command, answer);
  }

  async function reject(command: Command, code: string, message: string): Promise<void> {
    const answer = response(command, "rejected", { error: { code, message } });
    await journal.finish(command, answer);
    background.start(() => tell(command, answer));
  }

  return {
    async handle(payload) {
      if (!validCommand.Check(payload)) {
        const { id, error } = malformed(payload);
        log.warn({ error }, "a command could not be read");
        if (id) background.start(() => deps.respond(response(id, "rejected", { error })));
        return;
      }
      const known = journal.find(payload.command_id);
      onEvent({ type: "command_received", command: payload, repeated: known !== undefined });
      if (known) {
        const again = known.response ?? response(payload, "accepted");
        return background.start(() => deps.respond(again));
      }
      if (Date.parse(payload.expires_at) <= pace.now().getTime()) {
        return reject(payload, "COMMAND_EXPIRED", `expired at ${payload.expires_at}`);
      }
      if (background.size >= MAX_PENDING) {
        return reject(payload, "VEHICLE_BUSY", "too many commands at once");
      }
      await journal.begin(payload);
      background.start(async () => {
        await deps.respond(response(payload, "accepted"));
        await run(payload);
      });
    },
    resume() {
      for (const { command, response: answer } of journal.unsettled()) {
        background.start(() => (answer ? tell(command, answer) : run(command)));
      }
    },
    async stop() {
      stopping.abort(new Error("the VMG is stopping"));
      await background.settled();
    },
  };
}

/** Work that goes on after the message that caused it has been acknowledged. */
function backgroundWork(log: Logger) {
  const running = new Set<Promise<void>>();
  return {
    get size() {
      return running.size;
    },
    start(work: () => Promise<void>): void {
      const task = work()
        .catch((error: unknown) => log.error({ err: error }, "a command could not be answered"))
        .finally(() => running.delete(task));
      running.add(task);
    },
    settled: () => Promise.all(running),
  };
}

/** What is wrong with a payload, and its id when that can be read. */
function malformed(payload: unknown): { id?: Pick<Command, "command_id">; error: Failure } {
  const [first] = validCommand.Errors(payload);
  const message = `${first?.instancePath ?? ""} ${first?.message ?? ""}`.trim();
  const error = { code: "COMMAND_INVALID", message: message.slice(0, 1024) };
  const { command_id } = (payload ?? {}) as { command_id?: unknown };
  const isReadable = typeof command_id === "string" && /^[0-9a-f-]{36}$/.test(command_id);
  return isReadable ? { id: { command_id }, error } : { error };
}
