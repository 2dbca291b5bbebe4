import { Command } from "commander";
import { withExamples } from "./answering.ts";
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
    trust.addCommand(withExamples(command, examples[command.name()] ?? []));
  }
  return trust;
}

const examples: Readonly<Record<string, readonly string[]>> = {
  keys: [
    "latticeway trust keys --out online-keys.json",
    "latticeway trust keys --rotate image/timestamp --out next-keys.json",
  ],
  "make-keys": ["latticeway trust make-keys --keys bob/keys --out bob.pub"],
  "encrypt-keys": ["latticeway trust encrypt-keys --keys bob/keys"],
  init: ["latticeway trust init --online-keys online-keys.json"],
  "add-key": [
    "latticeway trust add-key --repository image --role root --public bob.pub --threshold 2",
    "latticeway trust add-key --repository image --role supplier-a --public supplier.pub --paths 'steering/*'",
  ],
  rotate: [
    "latticeway trust rotate --repository director --role root",
    "latticeway trust rotate --repository image --role timestamp --online-keys next-keys.json",
  ],
  pending: ["latticeway trust pending --out pending.json"],
  "add-target": ["latticeway trust add-target --pending pending.json --images builds"],
  targets: ["latticeway trust targets"],
  sign: [
    "latticeway trust sign",
    "latticeway trust sign --keys bob/keys ceremony/image/draft/2.root.json",
  ],
  rehearse: ["latticeway trust rehearse ceremony/director/2.root.json"],
  publish: ["latticeway trust publish"],
  status: ["latticeway trust status", "latticeway trust status --gateway"],
  verify: [
    "latticeway trust verify --director director --image image --root 1.director.root.json 1.image.root.json \\\n      --ecu-id ECU_001 --hardware-id brake-controller",
  ],
};
