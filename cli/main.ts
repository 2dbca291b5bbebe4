import "#config/node-version.js";
import type { Command } from "commander";
import { exitCodeOfCommander } from "./exit-code.ts";
import { program } from "./program.ts";

const latticeway = program();
for (const command of everyCommand(latticeway)) {
  command.exitOverride((error) => process.exit(exitCodeOfCommander(error)));
}
await latticeway.parseAsync();

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}
