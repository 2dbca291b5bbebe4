import type { MultipartFile } from "@fastify/multipart";
import type { FastifyRequest } from "fastify";
import { Compile } from "typebox/compile";
import { FirmwareMetadata, type FirmwareDetail } from "#protocol/api/firmware.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { releaseCounter } from "#protocol/uptane/release-counter.ts";
import type { BlobStore } from "#server/blobs/blob-store.ts";
import type { Db } from "#server/database/connection.ts";
import { firmwareDetail } from "./change.ts";
import { checkChain, checkRequires } from "./firmware.ts";
import { ingestImage, type IngestedImage } from "./ingest.ts";
import { alreadyPublished, publishFirmware } from "./publish.ts";
import { firmwareExists } from "./queries.ts";

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
 * (`hardware_versions` separated by commas, `requires` as JSON), in any order. When all that must be there comes before
 * the file, it is checked before the file is read. Nothing stays behind unless everything held.
 * @throws ProblemError REQUEST_INVALID, FIRMWARE_CHAIN_INVALID, FIRMWARE_REQUIRES_INVALID,
 *   FIRMWARE_EXISTS, FIRMWARE_TOO_LARGE, FIRMWARE_EMPTY, UPLOAD_INCOMPLETE, TRUST_TARGETS_FULL
 */
export async function receiveUpload(
  request: FastifyRequest,
  operator: string,
  deps: UploadDeps,
): Promise<FirmwareDetail> {
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
    return await firmwareDetail(deps.db, firmware.firmware_id);
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
  const metadata = metadataValidator.Default(readFields(fields));
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
  checkRequires(metadata.ecu_type, metadata.requires, "form");
  if (await firmwareExists(db, metadata.ecu_type, metadata.version))
    throw alreadyPublished(metadata);
  return metadata;
}

/** What is text in a form and something else in the metadata; what is not, the schema refuses. */
const readers: Record<string, (text: string) => unknown> = {
  hardware_versions: (text) => text.split(",").map((each) => each.trim()),
  critical: (text) => (text === "true" ? true : text === "false" ? false : text),
  build_number: (text) => (/^\d{1,16}$/.test(text) ? Number(text) : text),
  requires: readRequires,
};

function readFields(fields: Record<string, string>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, text]) => [name, readers[name]?.(text) ?? text]),
  );
}

function readRequires(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw invalid("requires", "is not JSON");
  }
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
