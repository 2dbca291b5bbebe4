import { createPublicKey } from "node:crypto";
import type { OnlineKeys } from "#protocol/api/trust.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { keyId, keyRecord, type UptaneKey } from "#protocol/uptane/key.ts";
import { parseMetadata, type Metadata, type TopLevelRole } from "#protocol/uptane/metadata.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import type { Db } from "#server/database/connection.ts";
import { insertKey, liveFile, madeKeys } from "./queries.ts";
import { ONLINE_ROLES, type TrustDeps } from "./trust.ts";

/**
 * Makes a hybrid pair for an online role. It signs nothing until a root that names it is published.
 * @throws ProblemError TRUST_ROLE_OFFLINE
 */
export async function makeKeys(
  { db, keys }: Pick<TrustDeps, "db" | "keys">,
  repository: RepositoryName,
  role: TopLevelRole,
): Promise<void> {
  if (!ONLINE_ROLES[repository].includes(role)) {
    throw new ProblemError("TRUST_ROLE_OFFLINE", `${repository} ${role}`);
  }
  for (const { publicKey } of await keys.makePair()) {
    const key = keyRecord(publicKey);
    await insertKey(db, { key_id: keyId(key), repository, role, public_key: key.keyval.public });
  }
}

/** Of each online role the keys that the next root should name: the last pair that was made. */
export async function nextKeys(db: Db): Promise<OnlineKeys> {
  const made = await madeKeys(db);
  const roots = { director: await rootOf(db, "director"), image: await rootOf(db, "image") };
  const of = (repository: RepositoryName, role: TopLevelRole): UptaneKey[] => {
    const own = made
      .filter((key) => key.repository === repository && key.role === role)
      .map(({ public_key }) => keyRecord(createPublicKey(public_key)));
    const newest = [...new Map(own.toReversed().map((key) => [key.scheme, key])).values()];
    const keys = newest.length > 0 ? newest : namedBy(roots[repository], role);
    return keys.sort((a, b) => (a.scheme < b.scheme ? -1 : 1));
  };
  return {
    director: {
      targets: of("director", "targets"),
      snapshot: of("director", "snapshot"),
      timestamp: of("director", "timestamp"),
    },
    image: { snapshot: of("image", "snapshot"), timestamp: of("image", "timestamp") },
  };
}

async function rootOf(db: Db, repository: RepositoryName): Promise<Metadata<"root"> | undefined> {
  const bytes = await liveFile(db, repository, "root");
  return bytes && parseMetadata("root", bytes);
}

function namedBy(root: Metadata<"root"> | undefined, role: TopLevelRole): UptaneKey[] {
  return (root?.signed.roles[role].keyids ?? []).flatMap((id) => {
    const key = root?.keys.get(id);
    if (key === undefined) return [];
    const { der } = key.publicKey;
    return keyRecord(createPublicKey({ key: der, format: "der", type: "spki" }));
  });
}
