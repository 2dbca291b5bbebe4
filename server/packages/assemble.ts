import { createHash } from "node:crypto";
import type { Signer } from "#crypto/signing-keys.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { packageLayout } from "#protocol/package/layout.ts";
import { packageId } from "#protocol/package/manifest.ts";
import { isSignedBy, signManifest } from "#protocol/package/signatures.ts";
import type { BlobStore } from "#server/blobs/blob-store.ts";
import type { Db } from "#server/database/connection.ts";
import { manifestFor, type Package, type PackageContent } from "./package.ts";
import { insertPackage, lockPackage, packageById, supersedePackage } from "./queries.ts";
import { packageBytes, verifyBlobs } from "./stream.ts";

export interface Assembler {
  /**
   * The package with these contents: found, or assembled once however many ask at the same time.
   * @throws ProblemError FIRMWARE_ARCHIVED, BLOB_CORRUPT
   */
  packageOf(contents: readonly PackageContent[]): Promise<Package>;
}

export interface AssemblerDeps {
  db: Db;
  blobs: BlobStore;
  /** Those that sign packages now. */
  signers: () => Promise<readonly Signer[]>;
}

/**
 * Assembling writes nothing but two small files into the database: the package itself is the
 * manifest, the signatures and blobs that are already there, one after the other. It costs one
 * sequential read, for the checksum of the whole. A package whose signers have been replaced is
 * signed, and so assembled, anew; vehicles that were assigned it before are still sent it as it was,
 * which the root that they trusted then verifies.
 */
export function createAssembler(deps: AssemblerDeps): Assembler {
  const underWay = new Map<string, Promise<Package>>();
  return {
    async packageOf(contents) {
      refuseArchived(contents);
      const manifest = manifestFor(contents);
      const id = packageId(manifest);
      const signers = await deps.signers();
      const running =
        underWay.get(id) ?? find(id, manifest, deps, signers).finally(() => underWay.delete(id));
      underWay.set(id, running);
      return running;
    },
  };
}

function refuseArchived(contents: readonly PackageContent[]): void {
  const archived = contents.find(({ firmware }) => firmware.status === "archived")?.firmware;
  if (archived === undefined) return;
  throw new ProblemError("FIRMWARE_ARCHIVED", `${archived.ecu_type} ${archived.version}`);
}

/** Looked up within the work that is shared: an assembly that ends meanwhile must not be missed. */
async function find(
  package_id: string,
  manifest: Buffer,
  deps: AssemblerDeps,
  signers: readonly Signer[],
): Promise<Package> {
  const known = await packageById(deps.db, package_id);
  if (known && isSignedBy(known.signatures, signers)) return known;
  return assemble(package_id, manifest, deps, signers);
}

async function assemble(
  package_id: string,
  manifest: Buffer,
  { db, blobs }: AssemblerDeps,
  signers: readonly Signer[],
): Promise<Package> {
  const signatures = await signManifest(manifest, signers);
  const layout = packageLayout(manifest, signatures);
  await verifyBlobs(layout, blobs);
  const hash = createHash("sha256");
  for await (const chunk of packageBytes(layout, blobs, { start: 0, end: layout.length }))
    hash.update(chunk);
  const assembled: Package = {
    package_id,
    manifest,
    signatures,
    size: layout.length,
    sha256: hash.digest("hex"),
    zones: layout.zones,
  };
  return db.transaction().execute(async (tx) => {
    await insertPackage(tx, assembled);
    // Another gateway may have been first: its signatures, and so its checksum, are those that count.
    const stored = await lockPackage(tx, package_id);
    if (isSignedBy(stored.signatures, signers)) return stored;
    await supersedePackage(tx, assembled);
    return assembled;
  });
}
