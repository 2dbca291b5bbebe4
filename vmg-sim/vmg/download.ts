import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rm, statfs, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { Type } from "typebox";
import { GatewayError, type FilePart, type GatewayClient } from "./gateway-client.ts";
import { backoffMs, type Backoff, type Pace } from "./pace.ts";
import { stateFile, type StateFile } from "./state-file.ts";

export type DownloadErrorCode =
  | "DOWNLOAD_CHECKSUM_MISMATCH"
  | "DOWNLOAD_SIZE_MISMATCH"
  | "STORAGE_FULL";

/** A download that no further try would save. */
export class DownloadError extends Error {
  readonly code: DownloadErrorCode;

  constructor(code: DownloadErrorCode, message: string) {
    super(message);
    this.name = "DownloadError";
    this.code = code;
  }
}

export interface DownloadRequest {
  /** Path on the gateway. */
  url: string;
  /** Where the package goes; beside it, `{file}.json` holds the ETag of what is there. */
  file: string;
  size: number;
  /** `sha256:` and 64 hex digits. */
  checksum: string;
  onProgress?: (bytes: number) => void;
  signal?: AbortSignal;
}

export interface DownloadDeps {
  client: Pick<GatewayClient, "openFile">;
  backoff: Backoff;
  pace: Pace;
}

export interface DownloadResult {
  /** Bytes that came over the wire in this call. */
  received: number;
  /** How often it was taken up again, also from what an earlier run left. */
  resumes: number;
}

/** Everything to know about the file on disk: which version of the remote file it is a part of. */
const Meta = Type.Object({ checksum: Type.String(), etag: Type.Optional(Type.String()) });

interface Download {
  request: DownloadRequest;
  deps: DownloadDeps;
  meta: StateFile<{ checksum: string; etag?: string }>;
  handle: FileHandle;
  etag: string | undefined;
  offset: number;
  hash: Hash;
  received: number;
  resumes: number;
}

/**
 * Downloads a package into `file`, taking up what is already there (RFC 9110 §14.2 with If-Range),
 * with bounded memory; it is on disk and its checksum holds when this returns. Cut connections and
 * temporary refusals are tried again until `retries` of them in a row bring nothing.
 * @throws DownloadError, GatewayError, the signal's reason
 */
export async function downloadPackage(
  deps: DownloadDeps,
  request: DownloadRequest,
): Promise<DownloadResult> {
  const download = await takeUp(deps, request);
  try {
    await roomFor(download);
    const fresh = download.offset === 0;
    await fetchAll(download);
    if (!(await isWhole(download))) {
      // What an earlier run or a changed remote file left may be at fault: once more, from zero.
      if (fresh && download.resumes === 0) throw mismatch(request);
      await restart(download, undefined);
      await fetchAll(download);
      if (!(await isWhole(download))) throw mismatch(request);
    }
    return { received: download.received, resumes: download.resumes };
  } finally {
    await download.handle.close();
  }
}

/** Removes a package and what is noted beside it. */
export async function discardDownload(file: string): Promise<void> {
  await Promise.all([rm(file, { force: true }), rm(metaFile(file), { force: true })]);
}

const metaFile = (file: string) => `${file}.json`;

async function takeUp(deps: DownloadDeps, request: DownloadRequest): Promise<Download> {
  const { file, checksum, size } = request;
  await mkdir(dirname(file), { recursive: true });
  const meta = stateFile(metaFile(file), Meta);
  const known = await meta.read().catch(() => undefined);
  const handle = await open(file, "a+", 0o600);
  const download: Download = {
    request,
    deps,
    meta,
    handle,
    etag: known?.checksum === checksum ? known.etag : undefined,
    offset: (await handle.stat()).size,
    hash: createHash("sha256"),
    received: 0,
    resumes: 0,
  };
  const usable = download.offset === 0 || download.etag !== undefined;
  if (!usable || download.offset > size) await restart(download, undefined);
  if (download.offset > 0) {
    download.resumes = 1;
    for await (const chunk of createReadStream(file, { end: download.offset - 1 })) {
      download.hash.update(chunk as Buffer);
    }
  }
  return download;
}

/** Empties the file for version `etag` of the remote one; the note goes first. */
async function restart(download: Download, etag: string | undefined): Promise<void> {
  const { checksum } = download.request;
  await download.handle.truncate(0);
  await download.meta.write({ checksum, ...(etag !== undefined && { etag }) });
  download.etag = etag;
  download.offset = 0;
  download.hash = createHash("sha256");
}

async function roomFor({ request: { file, size }, offset }: Download): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(file));
  const missing = size - offset - bavail * bsize;
  if (missing > 0) {
    throw new DownloadError("STORAGE_FULL", `${missing} bytes of storage are missing`);
  }
}

async function fetchAll(download: Download): Promise<void> {
  const { deps, request } = download;
  const { pace, backoff } = deps;
  let fruitless = 0;
  while (download.offset < request.size) {
    const before = download.received;
    try {
      await fetchRest(download);
    } catch (error) {
      request.signal?.throwIfAborted();
      if (!(error instanceof GatewayError && error.temporary)) throw error;
      if (download.received > before) fruitless = 0;
      if (fruitless >= backoff.retries) throw error;
      await pace.wait(backoffMs(fruitless, backoff, pace.random), request.signal);
      fruitless++;
      download.resumes++;
    }
  }
}

/** One request for what is missing. A connection that ends early is a temporary error. */
async function fetchRest(download: Download): Promise<void> {
  const { request, deps, offset, etag } = download;
  const part = await openPart(download, () =>
    deps.client.openFile(request.url, { offset, etag }, request.signal),
  );
  if (part === undefined) return fetchRest(download);
  try {
    if (part.total !== undefined && part.total !== request.size) {
      throw sizeMismatch(`the file has ${part.total} bytes, not ${request.size}`);
    }
    if (part.status === 200) await restart(download, part.etag);
    else if (part.offset !== offset || part.etag !== etag) {
      await restart(download, undefined);
      throw temporary("the gateway sent another range than asked for");
    }
    for await (const chunk of part.body) await take(download, chunk);
  } finally {
    part.discard();
  }
  if (download.offset < request.size) {
    throw temporary(`the download ended after ${download.offset} of ${request.size} bytes`);
  }
}

/** Undefined when the range was refused, and everything starts from zero. */
async function openPart(
  download: Download,
  openFile: () => Promise<FilePart>,
): Promise<FilePart | undefined> {
  try {
    return await openFile();
  } catch (error) {
    const refused = error instanceof GatewayError && error.status === 416;
    if (!refused || download.offset === 0) throw error;
    await restart(download, undefined);
    return undefined;
  }
}

async function take(download: Download, chunk: Uint8Array): Promise<void> {
  const { request, handle } = download;
  if (download.offset + chunk.length > request.size) {
    throw sizeMismatch(`the gateway sends more than the ${request.size} bytes it announced`);
  }
  await handle.appendFile(chunk);
  download.hash.update(chunk);
  download.offset += chunk.length;
  download.received += chunk.length;
  request.onProgress?.(download.offset);
}

async function isWhole({ handle, hash, request }: Download): Promise<boolean> {
  await handle.sync();
  return `sha256:${hash.copy().digest("hex")}` === request.checksum.toLowerCase();
}

function mismatch({ url, checksum }: DownloadRequest): DownloadError {
  return new DownloadError("DOWNLOAD_CHECKSUM_MISMATCH", `${url} does not have ${checksum}`);
}

function sizeMismatch(message: string): DownloadError {
  return new DownloadError("DOWNLOAD_SIZE_MISMATCH", message);
}

function temporary(message: string): GatewayError {
  return new GatewayError("GATEWAY_UNREACHABLE", message, { temporary: true });
}
