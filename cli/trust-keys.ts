import { Command, InvalidArgumentError } from "commander";
import { OnlineKeys, PendingTargets } from "#protocol/api/trust.ts";
import { keyId } from "#protocol/uptane/key.ts";
import { writeWhole } from "./ceremony.ts";
import { keysFolder } from "./ceremony-edit.ts";
import { makePair, openKeys, withKeyOptions, type KeyOptions } from "./ceremony-keys.ts";
import { withGateway } from "./gateway.ts";
import { reporting } from "./reporting.ts";
import { withFolder } from "./trust-options.ts";

interface MakeOptions extends KeyOptions {
  out: string;
}

/** `latticeway trust make-keys` */
export function makeKeysCommand(): Command {
  return withKeyOptions(withFolder(new Command("make-keys")))
    .description("Make a key pair of each family on this machine, and write the public parts")
    .requiredOption("--out <file>", "file for the public keys in PEM, for `add-key` and `rotate`")
    .action((options: MakeOptions, command: Command) =>
      reporting(command, async () => {
        const folder = keysFolder(options);
        const keys = await makePair(await openKeys(folder, options));
        await writeWhole(options.out, keys.map(({ keyval }) => `${keyval.public}\n`).join(""));
        return [
          ...keys.map((key) => `Made ${key.scheme} key ${keyId(key)} in ${folder}`),
          `Wrote ${options.out}`,
        ].join("\n");
      }),
    );
}

interface ExportOptions {
  out?: string;
  rotate?: OnlineRole[];
}

/** `latticeway trust keys` */
export function keysCommand(): Command {
  return new Command("keys")
    .description("Export the public keys that the gateway signs online roles with")
    .option("--out <file>", "file to write (default: prints)")
    .option(
      "--rotate <role...>",
      "have the gateway make new keys for a role, like director/targets, image/timestamp",
      onlineRole,
    )
    .action((options: ExportOptions, command: Command) =>
      reporting(command, () =>
        withGateway(async (gateway) => {
          for (const role of options.rotate ?? []) {
            await gateway.post(
              "/uptane/keys/rotate",
              Buffer.from(JSON.stringify(role)),
              OnlineKeys,
            );
          }
          return exported(await gateway.get("/uptane/keys", OnlineKeys), options);
        }),
      ),
    );
}

interface OnlineRole {
  repository: string;
  role: string;
}

function onlineRole(text: string, before: OnlineRole[] = []): OnlineRole[] {
  const [, repository, role] = /^(director|image)\/(targets|snapshot|timestamp)$/.exec(text) ?? [];
  if (repository === undefined || role === undefined) {
    throw new InvalidArgumentError("a repository and its online role, like image/timestamp.");
  }
  return [...before, { repository, role }];
}

/** `latticeway trust pending` */
export function pendingCommand(): Command {
  return new Command("pending")
    .description("Export the images at the gateway that no signed targets name yet")
    .option("--out <file>", "file to write (default: prints)")
    .action((options: { out?: string }, command: Command) =>
      reporting(command, async () => {
        const pending = await withGateway((it) => it.get("/uptane/pending", PendingTargets));
        const outcome = await exported(pending, options);
        return options.out === undefined ? outcome : `${outcome}, images: ${pending.length}`;
      }),
    );
}

async function exported(value: unknown, { out }: { out?: string }): Promise<string> {
  const text = JSON.stringify(value, null, 2);
  if (out === undefined) return text;
  await writeWhole(out, `${text}\n`);
  return `Wrote ${out}`;
}
