import type { TrustStatus } from "#protocol/api/trust.ts";
import { parseMetadata, type Metadata, type TopLevelRole } from "#protocol/uptane/metadata.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import { pendingTargets } from "./published-images.ts";
import { liveFile, newestFiles, vehiclesByRoot } from "./queries.ts";
import { ONLINE_ROLES, type TrustDeps } from "./trust.ts";

/** Both repositories as they are published, for the operator. */
export async function statusOf({ db, config }: TrustDeps): Promise<TrustStatus> {
  return {
    mode: config.mode,
    awaiting_signature: (await pendingTargets(db)).length,
    director: await repositoryStatus(db, "director"),
    image: await repositoryStatus(db, "image"),
  };
}

async function repositoryStatus(
  db: TrustDeps["db"],
  repository: RepositoryName,
): Promise<TrustStatus[RepositoryName]> {
  const bytes = await liveFile(db, repository, "root");
  const root = bytes && parseMetadata("root", bytes);
  const files = await newestFiles(db, repository, "all");
  const isOnline = (role: string) => (ONLINE_ROLES[repository] as readonly string[]).includes(role);
  return {
    roles: [...files.values()].map(({ role, version, expires_at, live }) => ({
      role,
      version,
      expires_at: expires_at.toISOString(),
      live,
      signed_by: isOnline(role) ? ("gateway" as const) : ("ceremony" as const),
      key_ids: keyIds(root, role),
    })),
    vehicles: await vehiclesByRoot(db, repository),
  };
}

function keyIds(root: Metadata<"root"> | undefined, role: string): string[] {
  const roles: Partial<Record<string, { keyids: string[] }>> = root?.signed.roles ?? {};
  return Object.hasOwn(roles, role) ? (roles[role as TopLevelRole]?.keyids ?? []) : [];
}
