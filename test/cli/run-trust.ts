import { CommanderError, type Command } from "commander";
import { vi } from "vitest";
import { trustCommand } from "#cli/trust.ts";

/** Runs `latticeway trust …` in this process, without letting it exit. */
export async function trust(...args: string[]) {
  const output: string[] = [];
  let errors = "";
  const print = vi.spyOn(console, "log").mockImplementation((text: string) => output.push(text));
  const command = trustCommand();
  for (const one of [command, ...command.commands] as Command[]) {
    one.exitOverride().configureOutput({ writeErr: (text) => (errors += text) });
  }
  let code = "ok";
  let exitCode = 0;
  try {
    await command.parseAsync(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    ({ code, exitCode } = error);
  } finally {
    print.mockRestore();
  }
  return { code, exitCode, errors, output: output.join("\n") };
}
