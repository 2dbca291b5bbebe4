import { Command } from "commander";
import { encryptKeyStore } from "#crypto/key-store.ts";
import { keysFolder } from "./ceremony-edit.ts";
import { CeremonyError } from "./ceremony-error.ts";
import { passphraseFor, withKeyOptions, type KeyOptions } from "./ceremony-keys.ts";
import { reporting } from "./reporting.ts";
import { withFolder } from "./trust-options.ts";

/** `latticeway trust encrypt-keys` */
export function encryptKeysCommand(): Command {
  return withKeyOptions(withFolder(new Command("encrypt-keys")))
    .description("Encrypt private keys that lie there in the clear, each in its place")
    .addHelpText("after", "\nWho could read such a key may have it: rotate it if that matters.")
    .action((options: KeyOptions, command: Command) =>
      reporting(command, async () => {
        const folder = keysFolder(options);
        const files = await encryptKeyStore(folder, await passphraseFor(folder, true, options));
        if (files.length > 0) return files.map((file) => `Encrypted ${file}`).join("\n");
        const what = `${folder} holds no private key in the clear`;
        throw new CeremonyError("CEREMONY_NOTHING_TO_DO", what);
      }),
    );
}
