import { join } from "node:path";
import { Command } from "commander";
import { OnlineKeys } from "#protocol/api/trust.ts";
import { buildRoot, buildTargets, type RoleKeys } from "#protocol/uptane/build.ts";
import type { TopLevelRole } from "#protocol/uptane/metadata.ts";
import { readFolder, writeDraft } from "./ceremony.ts";
import { demandHybrid, inDays, keysFolder, readJsonFile } from "./ceremony-edit.ts";
import { CeremonyError } from "./ceremony-error.ts";
import { makePair, openKeys, withKeyOptions, type KeyOptions } from "./ceremony-keys.ts";
import { withGateway } from "./gateway.ts";
import { days, withFolder } from "./trust-options.ts";
import { reporting } from "./reporting.ts";

interface InitOptions extends KeyOptions {
  onlineKeys?: string;
  rootDays: number;
  targetsDays: number;
}

/** `latticeway trust init` */
export function initCommand(): Command {
  return withKeyOptions(withFolder(new Command("init")))
    .description("Begin a ceremony: root and release keys, and the first roots to be signed")
    .option(
      "--online-keys <file>",
      "the gateway's public keys, from `trust keys` (default: asks the gateway)",
    )
    .option("--root-days <n>", "days that the roots hold", days, 365)
    .option("--targets-days <n>", "days that the first, empty image targets hold", days, 180)
    .action((options: InitOptions, command: Command) => reporting(command, () => init(options)));
}

async function init(options: InitOptions): Promise<string> {
  const { dir, onlineKeys: file } = options;
  await demandNothingThere(dir);
  const online =
    file === undefined
      ? await withGateway((gateway) => gateway.get("/uptane/keys", OnlineKeys))
      : await readJsonFile(file, OnlineKeys);
  demandOnlineKeys(online);
  const folder = keysFolder(options);
  const store = await openKeys(folder, options);
  const pair = async (): Promise<RoleKeys> => ({ keys: await makePair(store) });
  const roles: Record<"director" | "image", Record<TopLevelRole, RoleKeys>> = {
    director: { ...byRole(online.director), root: await pair() },
    image: { ...byRole(online.image), root: await pair(), targets: await pair() },
  };
  const root = { version: 1, expires: inDays(options.rootDays) };
  const targets = { version: 1, expires: inDays(options.targetsDays) };
  const files = [
    await writeDraft(join(dir, "director"), "root", buildRoot(root, roles.director)),
    await writeDraft(join(dir, "image"), "targets", buildTargets(targets, { targets: {} })),
    await writeDraft(join(dir, "image"), "root", buildRoot(root, roles.image)),
  ];
  return [
    `Made 3 key pairs in ${folder}: root of the director, root and releases of the images.`,
    ...files.map((draft) => `Wrote ${draft}`),
    "Next: `latticeway trust add-key` for further keys, then `latticeway trust sign`.",
  ].join("\n");
}

async function demandNothingThere(dir: string): Promise<void> {
  for (const name of ["director", "image"] as const) {
    const { roots, drafts } = await readFolder(join(dir, name), name);
    if (roots.length > 0 || drafts.root !== undefined) {
      const what = `${join(dir, name)} holds a root already`;
      const advice =
        "`latticeway trust status` says how to go on with it; another ceremony needs another --dir";
      throw new CeremonyError("CEREMONY_EXISTS", `${what}: ${advice}`);
    }
  }
}

function demandOnlineKeys({ director, image }: OnlineKeys): void {
  for (const [repository, roles] of Object.entries({ director, image })) {
    for (const [role, keys] of Object.entries(roles)) {
      demandHybrid(`${role} of the ${repository}`, { keys });
    }
  }
}

function byRole<Role extends string>(keys: Record<Role, RoleKeys["keys"]>): Record<Role, RoleKeys> {
  const entries = Object.entries<RoleKeys["keys"]>(keys).map(([role, list]) => [
    role,
    { keys: list },
  ]);
  return Object.fromEntries(entries) as Record<Role, RoleKeys>;
}
