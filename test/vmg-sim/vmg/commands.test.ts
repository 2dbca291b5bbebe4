import { randomUUID } from "node:crypto";
import { join } from "node:path";
import pino from "pino";
import { describe, expect, it } from "vitest";
import type { Command, CommandResponse } from "#protocol/mqtt/control.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { openCommandJournal } from "#vmg-sim/vmg/command-journal.ts";
import { createCommands, type CommandResult } from "#vmg-sim/vmg/commands.ts";
import { stillPace } from "./still-pace.ts";

type Execute = (command: Command, signal: AbortSignal) => Promise<CommandResult>;

async function setUp(execute: Execute, folder = testFolder()) {
  const sent: CommandResponse[] = [];
  const executed: string[] = [];
  const commands = createCommands({
    journal: await openCommandJournal(join(folder, "commands.json")),
    pace: stillPace(),
    log: pino({ level: "silent" }),
    execute(command, signal) {
      executed.push(command.command_id);
      return execute(command, signal);
    },
    respond: async (response) => void sent.push(response),
    onEvent: () => {},
  });
  return { commands, sent, executed, folder };
}

const command = (change: Partial<Command> = {}): Command => ({
  command_id: randomUUID(),
  command: "ota_status",
  issued_at: "2026-11-20T11:00:00Z",
  expires_at: "2026-11-20T13:00:00Z",
  ...change,
});

const good: Execute = async () => ({ result: { status: "success" } });
const forEver: Execute = (_, signal) =>
  new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

/** `stop` waits for what runs; none of these has anything left to wait for. */
const statuses = (sent: CommandResponse[]) => sent.map(({ status }) => status);

async function settled(commands: { stop(): Promise<void> }, isDone: () => boolean): Promise<void> {
  while (!isDone()) await new Promise<void>((resolve) => setImmediate(resolve));
  await commands.stop();
}

describe("commands", () => {
  it("accepts, carries out and answers", async () => {
    const { commands, sent, executed } = await setUp(good);
    const given = command();
    await commands.handle(given);
    await settled(commands, () => sent.length === 2);
    expect(statuses(sent)).toEqual(["accepted", "completed"]);
    expect(sent[1]).toMatchObject({ command_id: given.command_id, result: { status: "success" } });
    expect(executed).toEqual([given.command_id]);
  });

  it("answers a repeat again without doing it again, also after a restart", async () => {
    const first = await setUp(good);
    const given = command();
    await first.commands.handle(given);
    await settled(first.commands, () => first.sent.length === 2);

    const second = await setUp(good, first.folder);
    second.commands.resume();
    await second.commands.handle(given);
    await second.commands.handle(given);
    await settled(second.commands, () => second.sent.length === 2);
    expect(second.sent).toEqual([first.sent[1], first.sent[1]]);
    expect(second.executed).toEqual([]);
  });

  it("takes up after a restart what it had accepted", async () => {
    const first = await setUp(forEver);
    const given = command();
    await first.commands.handle(given);
    await settled(first.commands, () => first.executed.length === 1);
    expect(statuses(first.sent)).toEqual(["accepted"]);

    const second = await setUp(good, first.folder);
    second.commands.resume();
    await settled(second.commands, () => second.sent.length === 1);
    expect(second.executed).toEqual([given.command_id]);
    expect(statuses(second.sent)).toEqual(["completed"]);
  });

  it("sends a response that a kill kept from being sent", async () => {
    const folder = testFolder();
    const journal = await openCommandJournal(join(folder, "commands.json"));
    const given = command();
    await journal.begin(given);
    const { command_id } = given;
    await journal.finish(given, { command_id, status: "completed", ts: "2026-11-20T12:00:00Z" });

    const { commands, sent, executed } = await setUp(good, folder);
    commands.resume();
    await settled(commands, () => sent.length === 1);
    expect(sent).toMatchObject([{ command_id, status: "completed" }]);
    expect(executed).toEqual([]);
  });

  it.each([
    [{ expires_at: "2026-11-20T11:59:59Z" }, "COMMAND_EXPIRED"],
    [{ command: "self_destruct" as Command["command"] }, "COMMAND_INVALID"],
    [{ issued_at: "yesterday" }, "COMMAND_INVALID"],
  ])("rejects %j", async (change, code) => {
    const { commands, sent, executed } = await setUp(good);
    await commands.handle(command(change));
    await settled(commands, () => sent.length === 1);
    expect(sent).toMatchObject([{ status: "rejected", error: { code } }]);
    expect(executed).toEqual([]);
  });

  it("ignores what has no readable id", async () => {
    const { commands, sent } = await setUp(good);
    for (const payload of [null, 7, "text", [], { command_id: "x" }])
      await commands.handle(payload);
    await commands.stop();
    expect(sent).toEqual([]);
  });

  it("answers with the error of what failed", async () => {
    const { commands, sent } = await setUp(async () => {
      throw Object.assign(new Error("nothing there"), { code: "ROLLBACK_NOTHING" });
    });
    await commands.handle(command({ command: "ota_rollback" }));
    await settled(commands, () => sent.length === 2);
    const error = { code: "ROLLBACK_NOTHING", message: "nothing there" };
    expect(sent[1]).toMatchObject({ status: "failed", error });
  });

  it("takes no more than so many at once", async () => {
    const { commands, sent } = await setUp(forEver);
    for (let i = 0; i < 17; i++) await commands.handle(command());
    await settled(commands, () => sent.length === 17);
    expect(statuses(sent).filter((status) => status === "rejected")).toHaveLength(1);
  });

  it("forgets old commands, never one that is not settled", async () => {
    const folder = testFolder();
    const journal = await openCommandJournal(join(folder, "commands.json"));
    const open = command();
    await journal.begin(open);
    const ids: string[] = [];
    for (let i = 0; i < 100; i++) {
      const given = command();
      ids.push(given.command_id);
      await journal.begin(given);
      const { command_id } = given;
      await journal.finish(given, { command_id, status: "completed", ts: "2026-11-20T12:00:00Z" });
      await journal.sent(given);
    }
    const again = await openCommandJournal(join(folder, "commands.json"));
    expect(again.find(open.command_id)).toBeDefined();
    expect(ids.filter((id) => again.find(id))).toHaveLength(63);
    expect(again.find(ids.at(-1) ?? "")).toBeDefined();
  });
});
