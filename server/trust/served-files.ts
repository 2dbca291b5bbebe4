import { hash } from "node:crypto";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import type { Db } from "#server/database/connection.ts";
import { liveFile, liveVersion } from "./queries.ts";

/** A metadata file as it is sent. */
export interface ServedFile {
  bytes: Buffer;
  /** Of these bytes, in quotes (RFC 9110 §8.8.3). */
  etag: string;
}

/** Whole files for a whole fleet: without it each download would read the file from the database. */
export interface ServedFiles {
  /** A file that is served, the newest one of its role without a version. */
  find(repository: RepositoryName, role: string, version?: number): Promise<ServedFile | undefined>;
}

/** Four of the largest targets, or all that most fleets have. */
const MAX_BYTES = 32 * 1024 * 1024;

/**
 * Keeps the files that were asked for last, as many as fit. Once a version is served it never changes,
 * so that what is kept stays right whatever other gateways on the database publish; which version is
 * the newest is asked each time.
 */
export function cacheServedFiles(db: Db, maxBytes = MAX_BYTES): ServedFiles {
  /** In the order of their last use. */
  const kept = new Map<string, ServedFile>();
  const underWay = new Map<string, Promise<ServedFile | undefined>>();
  let size = 0;

  function keep(key: string, file: ServedFile): void {
    kept.set(key, file);
    size += file.bytes.length;
    for (const [oldest, { bytes }] of kept) {
      if (size <= maxBytes) return;
      kept.delete(oldest);
      size -= bytes.length;
    }
  }

  return {
    async find(repository, role, version) {
      const wanted = version ?? (await liveVersion(db, repository, role));
      if (wanted === undefined) return undefined;
      const key = `${repository}/${wanted}.${role}`;
      const known = kept.get(key);
      if (known !== undefined) {
        kept.delete(key);
        kept.set(key, known);
        return known;
      }
      const reading =
        underWay.get(key) ??
        read(db, repository, role, wanted)
          .then((file) => {
            if (file !== undefined) keep(key, file);
            return file;
          })
          .finally(() => underWay.delete(key));
      underWay.set(key, reading);
      return reading;
    },
  };
}

async function read(
  db: Db,
  repository: RepositoryName,
  role: string,
  version: number,
): Promise<ServedFile | undefined> {
  const bytes = await liveFile(db, repository, role, version);
  return bytes && asServed(bytes);
}

export function asServed(bytes: Buffer): ServedFile {
  return { bytes, etag: `"${hash("sha256", bytes, "hex")}"` };
}
