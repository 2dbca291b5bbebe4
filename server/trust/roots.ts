import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { readIfPresent, writeExclusive } from "#crypto/exclusive-file.ts";
import type { Metadata } from "#protocol/uptane/metadata.ts";
import { trustRoot } from "#protocol/uptane/trusted.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import type { Tx } from "#server/database/connection.ts";
import { insertFile, liveRoots, lockRepository } from "./queries.ts";
import { ONLINE_ROLES, TrustError, type TrustDeps } from "./trust.ts";

export const REPOSITORIES: readonly RepositoryName[] = ["director", "image"];

/** Makes the first root of a repository; undefined where that is done elsewhere. */
export type MakeRoot = ((repository: RepositoryName) => Promise<Buffer>) | undefined;

/**
 * Makes sure that both repositories have a root which the gateway can work under, and that the first
 * one of each, what vehicles are built with, lies in `{folder}/{repository}.root.json`: the file is
 * taken into a new database, or written from one that has it, or made.
 * @throws TrustError TRUST_ROOT_MISSING, TRUST_ROOT_MISMATCH; ProblemError TRUST_KEY_MISSING;
 *   UptaneError for a file that is no root
 */
export async function ensureRoots(deps: TrustDeps, folder: string, make: MakeRoot): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const repository of REPOSITORIES) {
    // The lock lets gateways that start at once make one root between them.
    await deps.db.transaction().execute(async (tx) => {
      await lockRepository(tx, repository);
      await ensureRoot(deps, tx, { repository, file: rootFile(folder, repository), make });
    });
  }
}

function rootFile(folder: string, repository: RepositoryName): string {
  return join(folder, `${repository}.root.json`);
}

async function ensureRoot(
  deps: TrustDeps,
  tx: Tx,
  { repository, file, make }: { repository: RepositoryName; file: string; make: MakeRoot },
): Promise<void> {
  const roots = await liveRoots(tx, repository);
  const [first] = roots;
  if (first === undefined) {
    const bytes = (await readIfPresent(file)) ?? (await makeRoot(repository, file, make));
    const { root } = trustRoot(Buffer.from(bytes), {});
    await holdsKeys(deps, repository, root);
    await insertFile(tx, repository, "root", root, true);
    return;
  }
  await writeExclusive(file, first.bytes.toString(), READABLE);
  if ((await readIfPresent(file)) !== first.bytes.toString()) {
    const what = `${file} is not the first root of the ${repository} in this database`;
    const advice = "vehicles built with it would refuse everything: use the certs_dir and the";
    throw new TrustError("TRUST_ROOT_MISMATCH", `${what}; ${advice} database that belong together`);
  }
  const newest = roots.at(-1) ?? first;
  await holdsKeys(deps, repository, trustRoot(newest.bytes, {}).root);
}

const READABLE = 0o644;

async function makeRoot(repository: RepositoryName, file: string, make: MakeRoot): Promise<string> {
  if (make === undefined) {
    const how = "make it offline by `latticeway trust init` and copy it there";
    throw new TrustError("TRUST_ROOT_MISSING", `${file} is missing: ${how} (docs/security.md)`);
  }
  const bytes = (await make(repository)).toString();
  if (await writeExclusive(file, bytes, READABLE)) return bytes;
  return (await readIfPresent(file)) ?? bytes;
}

async function holdsKeys(
  { keys }: TrustDeps,
  repository: RepositoryName,
  root: Metadata<"root">,
): Promise<void> {
  for (const role of ONLINE_ROLES[repository]) await keys.signersFor(root, role);
}
