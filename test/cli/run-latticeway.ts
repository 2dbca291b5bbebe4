import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { CommanderError, type Command } from "commander";
import { vi } from "vitest";
import { exitCodeOfCommander } from "#cli/exit-code.ts";
import { program } from "#cli/program.ts";
import { latticeway } from "./running-tunnel.ts";

export interface Outcome {
  exitCode: number | null;
  output: string;
  errors: string;
}

/** Runs `latticeway …` as a process of its own. */
export async function runProcess(
  env: NodeJS.ProcessEnv,
  args: readonly string[],
  input = "",
): Promise<Outcome> {
  const child = spawn(process.execPath, [latticeway, ...args], { env: { ...process.env, ...env } });
  child.stdin.end(input);
  const [output, errors, [exitCode]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit") as Promise<[number | null]>,
  ]);
  return { exitCode, output: output.trimEnd(), errors: errors.trimEnd() };
}

/** Runs it in this process, without letting it exit. Not two at the same time. */
export async function run(env: Record<string, string>, ...args: string[]): Promise<Outcome> {
  const lines: string[] = [];
  let errors = "";
  const print = vi.spyOn(console, "log").mockImplementation((line: string) => lines.push(line));
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  const command = program();
  for (const one of everyCommand(command)) {
    one.exitOverride().configureOutput({ writeErr: (line) => (errors += line) });
  }
  let exitCode = 0;
  try {
    await command.parseAsync(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    exitCode = exitCodeOfCommander(error);
  } finally {
    print.mockRestore();
    vi.unstubAllEnvs();
  }
  return { exitCode, output: lines.join("\n"), errors: errors.trimEnd() };
}

export function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}
