import Type, { type Static } from "typebox";
import { Timestamp } from "#protocol/api/identifier.ts";
import { parseMetadata, type Metadata, type TopLevelRole } from "#protocol/uptane/metadata.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import { countAwaiting } from "#server/firmware/queries.ts";
import { liveFile, newestFiles, vehiclesByRoot } from "./queries.ts";
import { ONLINE_ROLES, type TrustDeps } from "./trust.ts";

export const RepositoryStatus = Type.Object({
  roles: Type.Array(
    Type.Object({
      role: Type.String(),
      version: Type.Integer(),
      expires_at: Timestamp,
      live: Type.Boolean({ description: "Served; else it waits for other roles" }),
      signed_by: Type.Union([Type.Literal("gateway"), Type.Literal("ceremony")]),
      key_ids: Type.Array(Type.String(), {
        description: "Keys that the root names; of delegated roles none",
      }),
    }),
  ),
  vehicles: Type.Array(
    Type.Object({
      root_version: Type.Union([Type.Integer(), Type.Null()]),
      vehicles: Type.Integer(),
    }),
    { description: "How many vehicles hold each root; null: never asked" },
  ),
});

/** Both repositories as they are published, for the operator. */
export async function statusOf({ db, config }: TrustDeps) {
  return {
    mode: config.mode,
    awaiting_signature: await countAwaiting(db),
    director: await repositoryStatus(db, "director"),
    image: await repositoryStatus(db, "image"),
  };
}

async function repositoryStatus(
  db: TrustDeps["db"],
  repository: RepositoryName,
): Promise<Static<typeof RepositoryStatus>> {
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
