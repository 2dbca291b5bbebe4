import { join } from "node:path";
import { Command } from "commander";
import { TrustStatus } from "#protocol/api/trust.ts";
import { keyId } from "#protocol/uptane/key.ts";
import type { Metadata } from "#protocol/uptane/metadata.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import { currentRoot, readRepository, type Repository } from "./ceremony.ts";
import { keysFolder, rootRoles, targetsContent } from "./ceremony-edit.ts";
import { keyFileUses } from "./ceremony-key-files.ts";
import { withKeysFolder } from "./ceremony-keys.ts";
import { withGateway } from "./gateway.ts";
import { printable } from "./printable.ts";
import { reporting } from "./reporting.ts";
import { missingSignatures, signingRules } from "./signing-rules.ts";
import { table, toSecond } from "./table.ts";
import { withFolder } from "./trust-options.ts";

interface StatusOptions {
  dir: string;
  keys?: string;
  gateway?: true;
}

/** `latticeway trust status` */
export function statusCommand(): Command {
  return withKeysFolder(withFolder(new Command("status")))
    .description(
      "Show versions, expiry, missing signatures and keys, and which private key here is for what",
    )
    .option("--gateway", "show what the gateway has published instead")
    .action((options: StatusOptions, command: Command) =>
      reporting(command, async () => {
        if (options.gateway)
          return published(await withGateway((it) => it.get("/uptane/status", TrustStatus)));
        const repositories = [
          await readRepository(options.dir, "director"),
          await readRepository(options.dir, "image"),
        ];
        const files = await keyFileTable(keysFolder(options), repositories);
        return [...repositories.map(status), ...files].join("\n\n");
      }),
    );
}

/** Nothing where this machine has no private keys. */
async function keyFileTable(
  folder: string,
  repositories: readonly Repository[],
): Promise<string[]> {
  const uses = await keyFileUses(folder, repositories);
  if (uses.length === 0) return [];
  const rows = uses.map(({ file, role, named }) => [join(folder, file), role ?? "-", named]);
  return [table(["KEY FILE", "FOR", "NAMED"], rows)];
}

function published({ mode, awaiting_signature, ...repositories }: TrustStatus): string {
  const rows = Object.entries(repositories).flatMap(([name, { roles }]) =>
    roles.map(({ role, version, expires_at, live, signed_by }) => [
      name,
      role,
      String(version),
      until(expires_at),
      live ? "served" : "waits for other roles",
      signed_by,
    ]),
  );
  const vehicles = Object.entries(repositories).flatMap(([name, { vehicles: byRoot }]) =>
    byRoot.map(({ root_version, vehicles: count }) => [
      name,
      root_version === null ? "never asked" : String(root_version),
      String(count),
    ]),
  );
  return [
    `Mode ${printable(mode)}. Images that wait for a signature: ${awaiting_signature}.`,
    "",
    table(["REPOSITORY", "ROLE", "VERSION", "UNTIL", "STATE", "SIGNED BY"], rows),
    "",
    vehicles.length === 0
      ? "No vehicle has registered."
      : table(["REPOSITORY", "ROOT", "VEHICLES"], vehicles),
  ].join("\n");
}

function status(repository: Repository): string {
  const { name, roots, targets, drafts } = repository;
  const newest = roots.at(-1);
  const rows = [
    ...(newest ? [row(name, "root", newest, "signed")] : []),
    ...[...targets].map(([roleName, file]) => row(name, roleName, file, "signed")),
    ...(drafts.root
      ? [row(name, "root", drafts.root, missing(repository, "root", drafts.root))]
      : []),
    ...[...drafts.targets].map(([roleName, file]) =>
      row(name, roleName, file, missing(repository, roleName, file)),
    ),
  ];
  const heading = ["REPOSITORY", "ROLE", "VERSION", "UNTIL", "STATE"];
  return [table(heading, rows), "", table(["ROLE", "NEEDS", "KEY", "ID"], keys(repository))].join(
    "\n",
  );
}

function row(
  name: RepositoryName,
  roleName: string,
  { signed }: Metadata<"root" | "targets">,
  state: string,
): string[] {
  return [name, roleName, String(signed.version), until(signed.expires), state];
}

function until(expires: string): string {
  return `${toSecond(expires)}${Date.parse(expires) <= Date.now() ? " (expired)" : ""}`;
}

function missing(
  repository: Repository,
  roleName: string,
  metadata: Metadata<"root" | "targets">,
): string {
  const rules = signingRules(repository, roleName, metadata);
  return `draft, needs ${missingSignatures(metadata, rules).join(", ") || "`trust sign`"}`;
}

function keys(repository: Repository): string[][] {
  const { targets, drafts } = repository;
  const content = drafts.targets.get("targets") ?? targets.get("targets");
  const suppliers = content === undefined ? [] : targetsContent(content).delegations;
  const roles = [
    ...Object.entries(rootRoles(currentRoot(repository))),
    ...suppliers.map((role) => [role.name, role] as const),
  ];
  return roles.flatMap(([name, role]) =>
    role.keys.map((key) => [name, `${role.threshold ?? 1} of each family`, key.scheme, keyId(key)]),
  );
}
