import { Command } from "commander";
import { addKeyCommand } from "./trust-add-key.ts";
import { encryptKeysCommand } from "./trust-encrypt-keys.ts";
import { initCommand } from "./trust-init.ts";
import { keysCommand, makeKeysCommand, pendingCommand } from "./trust-keys.ts";
import { publishCommand } from "./trust-publish.ts";
import { rehearseCommand } from "./trust-rehearse.ts";
import { rotateCommand } from "./trust-rotate.ts";
import { signCommand } from "./trust-sign.ts";
import { statusCommand } from "./trust-status.ts";
import { addTargetCommand, targetsCommand } from "./trust-targets.ts";
import { verifyCommand } from "./trust-verify.ts";

/** `latticeway trust …`: what may be installed, and who says so. */
export function trustCommand(): Command {
  const trust = new Command("trust").description(
    "The offline ceremony: who may sign what, and what vehicles may install",
  );
  for (const command of [
    keysCommand(),
    makeKeysCommand(),
    encryptKeysCommand(),
    initCommand(),
    addKeyCommand(),
    rotateCommand(),
    pendingCommand(),
    addTargetCommand(),
    targetsCommand(),
    signCommand(),
    rehearseCommand(),
    publishCommand(),
    statusCommand(),
    verifyCommand(),
  ]) {
    trust.addCommand(command);
  }
  return trust;
}
