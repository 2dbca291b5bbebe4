import { InvalidArgumentError, Option, type Command } from "commander";

/** The ceremony's folder, for the commands that read or write it. */
export function withFolder(command: Command): Command {
  return command.option("--dir <folder>", "folder of the ceremony", "ceremony");
}

export function withRepository(command: Command): Command {
  return command.addOption(
    new Option("--repository <name>", "whose metadata")
      .choices(["director", "image"])
      .makeOptionMandatory(),
  );
}

export function days(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 3650) {
    throw new InvalidArgumentError("a whole number from 1 to 3650.");
  }
  return value;
}

export function threshold(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 16) {
    throw new InvalidArgumentError("a whole number from 1 to 16.");
  }
  return value;
}
