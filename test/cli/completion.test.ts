import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CommanderError } from "commander";
import { describe, expect, it } from "vitest";
import { completion } from "#cli/completion.ts";
import { program } from "#cli/program.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { everyCommand } from "./run-latticeway.ts";

/** What bash offers after these words. */
function offered(...words: string[]): string[] {
  const file = join(testFolder(), "completion.bash");
  writeFileSync(file, completion(program(), "bash"));
  const script =
    'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _latticeway; printf "%s\\n" "${COMPREPLY[@]}"';
  const { stdout, stderr } = spawnSync("bash", ["-c", script, "--", file, "latticeway", ...words], {
    encoding: "utf8",
  });
  expect(stderr).toBe("");
  return stdout.trim().split("\n");
}

describe("completion", () => {
  it("follows the commands, and knows options and what they take", () => {
    expect(offered("cam")).toEqual(["campaign"]);
    expect(offered("campaign", "")).toEqual(
      expect.arrayContaining(["create", "approve", "progress"]),
    );
    expect(offered("firmware", "sbom", "")).toEqual(["get", "put", "--help"]);
    expect(offered("firmware", "upload", "--ha")).toEqual(["--hardware"]);
    expect(offered("firmware", "list", "--channel", "")).toEqual(["stable", "beta"]);
    expect(offered("firmware", "list", "--channel", "beta", "--pu")).toEqual([
      "--publication",
      "--purl",
    ]);
    expect(offered("operators", "create", "alice", "--role", "app")).toEqual(["approver"]);
    expect(offered("completion", "f")).toEqual(["fish"]);
  });

  it("has every command in the scripts of the other shells, too", () => {
    const paths = everyCommand(program()).flatMap((command) =>
      command.commands.map((each) => each.name()).filter((name) => name !== "help"),
    );
    for (const shell of ["zsh", "fish"] as const) {
      const script = completion(program(), shell);
      expect(paths.filter((name) => !script.includes(`/${name}"`))).toEqual([]);
    }
  });
});

/** The lines of a page or of a help that are commands. */
function commandLines(text: string): string[] {
  return text
    .replaceAll(/ \\\n */g, " ")
    .split("\n")
    .map((line) => line.trim().replace(/^(\$|npx) /, ""))
    .filter((line) => line.startsWith("latticeway "));
}

/** As a shell splits them; what goes elsewhere is left out. */
function wordsOf(line: string): string[] {
  const command = line.replace(/ [<>|#] .*$/, "");
  const words = command.match(/(?:[^\s'"]|'[^']*'|"[^"]*")+/g) ?? [];
  return words.slice(1).map((word) => word.replaceAll(/'([^']*)'|"([^"]*)"/g, "$1$2"));
}

/** What is wrong with a command line, without carrying it out. */
async function fault(words: string[]): Promise<string | undefined> {
  const command = program();
  for (const one of everyCommand(command)) {
    one.exitOverride().configureOutput({ writeErr: () => undefined, writeOut: () => undefined });
    if (one.commands.length === 0) one.action(() => undefined);
  }
  try {
    await command.parseAsync(words, { from: "user" });
    return undefined;
  } catch (error) {
    if (error instanceof CommanderError) return error.message;
    throw error;
  }
}

describe("examples", () => {
  it("are in the help of every command, and can be given like this", async () => {
    const lines: string[] = [];
    for (const group of program().commands) {
      for (const command of everyCommand(group).filter((each) => each.commands.length === 0)) {
        let help = "";
        command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
        const examples = commandLines(help.split("Examples:")[1] ?? "");
        expect([group.name(), command.name(), examples.length > 0]).toContain(true);
        lines.push(...examples);
      }
    }
    expect(lines.length).toBeGreaterThan(80);
    for (const line of lines) expect([line, await fault(wordsOf(line))]).toEqual([line, undefined]);
  });

  it("of docs/cli.md can be given like this, and name every group", async () => {
    const page = readFileSync(join(import.meta.dirname, "../../docs/cli.md"), "utf8");
    const lines = commandLines(page);
    for (const line of lines) expect([line, await fault(wordsOf(line))]).toEqual([line, undefined]);
    const named = new Set(lines.map((line) => wordsOf(line)[0]));
    expect(
      program()
        .commands.map((each) => each.name())
        .filter((name) => !named.has(name)),
    ).toEqual([]);
  });
});
