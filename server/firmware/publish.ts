import { randomUUIDv7 } from "node:crypto";
import type { Firmware, FirmwareMetadata } from "#protocol/api/firmware.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { Db } from "#server/database/connection.ts";
import type { IngestedImage } from "./ingest.ts";
import { insertFirmware } from "./queries.ts";

/**
 * Publishes an image under its metadata: its row and its blob, or neither.
 * @throws ProblemError FIRMWARE_EXISTS; then, as with any error, the blob is the caller's to discard
 */
export async function publishFirmware(
  db: Db,
  metadata: FirmwareMetadata,
  image: IngestedImage,
  operator: string,
): Promise<Firmware> {
  // Waits for the disk, so not in the transaction: the embedded database has but one connection.
  const blob = await image.blob.seal();
  return db.transaction().execute(async (tx) => {
    const firmware = await insertFirmware(tx, metadata, {
      firmware_id: randomUUIDv7(),
      size: image.size,
      sha256: image.sha256,
      sha512: image.sha512,
      compressed_size: blob.length,
      compressed_sha256: blob.sha256,
      created_by: operator,
    });
    if (firmware === undefined) throw alreadyPublished(metadata);
    // After all that can be refused and before the row can be seen: a crash between here and the
    // commit may leave a file without a row, never a row without its file. Such a file stays, as
    // another upload of the same bytes may already count on it.
    await blob.publish();
    return firmware;
  });
}

export function alreadyPublished({ ecu_type, version }: FirmwareMetadata): ProblemError {
  return new ProblemError("FIRMWARE_EXISTS", `${ecu_type} ${version}`);
}
