import type { MultipartFile } from "@fastify/multipart";
import type { FastifyRequest } from "fastify";
import { Compile } from "typebox/compile";
import { FirmwareMetadata, type Firmware } from "#protocol/api/firmware.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { releaseCounter } from "#protocol/uptane/release-counter.ts";
import type { BlobStore } from "#server/blobs/blob-store.ts";
import type { Db } from "#server/database/connection.ts";
import { checkChain } from "./firmware.ts";
import { ingestImage, type IngestedImage } from "./ingest.ts";
import { alreadyPublished, publishFirmware } from "./publish.ts";
import { firmwareById, firmwareExists } from "./queries.ts";

export interface UploadDeps {
  db: Db;
  blobs: BlobStore;
  maxSize: number;
  level: number;
  /** What signed targets say of images has changed; resolves when that is settled. */
  imagesChanged: () => Promise<void>;
  /** @throws ProblemError TRUST_TARGETS_FULL when signed targets can name no further image */
  demandRoom: () => Promise<void>;
}

/**
 * Takes a multipart form with one `file` and the fields of {@link FirmwareMetadata}
 * (`hardware_versions` separated by commas), in any order. When all that must be there comes before
 * the file, it is checked before the file is read. Nothing stays behind unless everything held.
 * @throws ProblemError REQUEST_INVALID, FIRMWARE_CHAIN_INVALID, FIRMWARE_EXISTS, FIRMWARE_TOO_LARGE,
 *   FIRMWARE_EMPTY, UPLOAD_INCOMPLETE, TRUST_TARGETS_FULL
 */
export async function receiveUpload(
  request: FastifyRequest,
  operator: string,
  deps: UploadDeps,
): Promise<Firmware> {
  const fields: Record<string, string> = {};
  let image: IngestedImage | undefined;
  try {
    await deps.demandRoom();
    for await (const part of request.parts()) {
      if (part.type === "field") {
        fields[part.fieldname] = String(part.value);
      } else {
        if (required.every((name) => name in fields)) await checkMetadata(fields, deps.db);
        image = await readFile(part, deps);
      }
    }
    if (image === undefined) throw invalid("file", "is missing");
    const metadata = await checkMetadata(fields, deps.db);
    const firmware = await publishFirmware(deps.db, metadata, image, operator);
    image = undefined;
    await deps.imagesChanged();
    return (await firmwareById(deps.db, firmware.firmware_id)) ?? firmware;
  } catch (error) {
    await image?.blob.discard();
    // A connection with bytes that nobody reads would not even be seen to close.
    request.raw.unpipe().resume();
    throw asUploadError(error);
  }
}

/** The form's parser has codes for some of what can be wrong with a form, and only text for others. */
function asUploadError(error: unknown): unknown {
  const { code, message } = error as Partial<Error & { code: string }>;
  if (
    code === "FST_MP_PREMATURE_CLOSE" ||
    /^aborted$|^Unexpected end|terminated early/.test(message ?? "")
  )
    return new ProblemError("UPLOAD_INCOMPLETE");
  if (message === "Multipart: Boundary not found")
    return new ProblemError("REQUEST_INVALID", "the media type names no boundary");
  return error;
}

async function readFile(part: MultipartFile, deps: UploadDeps): Promise<IngestedImage> {
  if (part.fieldname !== "file")
    throw invalid(part.fieldname, "is not a file field; the image goes in `file`");
  return ingestImage(part.file, deps.blobs, deps);
}

const metadataValidator = Compile(FirmwareMetadata);
const required = FirmwareMetadata.required.filter((name) => name !== "critical");

async function checkMetadata(fields: Record<string, string>, db: Db): Promise<FirmwareMetadata> {
  const { hardware_versions, critical, ...text } = fields;
  const metadata = metadataValidator.Default({
    ...text,
    ...(hardware_versions === undefined
      ? {}
      : { hardware_versions: hardware_versions.split(",").map((each) => each.trim()) }),
    ...(critical === undefined
      ? {}
      : { critical: critical === "true" ? true : critical === "false" ? false : critical }),
  });
  if (!metadataValidator.Check(metadata)) {
    const errors = metadataValidator
      .Errors(metadata)
      .map(({ instancePath, message }) => ({ path: `form${instancePath}`, message }));
    throw new ProblemError(
      "REQUEST_INVALID",
      errors[0] && `${errors[0].path} ${errors[0].message}`,
      errors,
    );
  }
  checkCountable(metadata.version);
  checkChain(metadata.version, metadata.min_current_version);
  if (await firmwareExists(db, metadata.ecu_type, metadata.version))
    throw alreadyPublished(metadata);
  return metadata;
}

/** Signed targets carry a release counter, so that no vehicle goes back. */
function checkCountable(version: string): void {
  try {
    releaseCounter(version);
  } catch (error) {
    if (error instanceof RangeError) throw invalid("version", error.message);
    throw error;
  }
}

function invalid(path: string, message: string): ProblemError {
  return new ProblemError("REQUEST_INVALID", `form/${path} ${message}`, [
    { path: `form/${path}`, message },
  ]);
}
