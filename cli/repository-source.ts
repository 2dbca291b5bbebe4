import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Agent, fetch, type RequestInit } from "undici";
import { readMetadata } from "#protocol/uptane/read-metadata.ts";
import { UptaneError } from "#protocol/uptane/uptane-error.ts";
import { credentialsOf } from "./session.ts";

/** Where the files of a repository come from. */
export interface RepositorySource {
  /**
   * A file's bytes; undefined when there is none. No byte after `maxBytes` is read.
   * @throws UptaneError UPTANE_METADATA_TOO_LARGE; SourceError
   */
  fetch(file: string, maxBytes: number): Promise<Uint8Array | undefined>;
}

/** A repository can't be reached, or answers something else than a file or "not found". */
export class SourceError extends Error {
  readonly code = "SOURCE_UNREACHABLE";

  constructor(file: string, reason: string) {
    super(`${file}: ${reason}`);
    this.name = "SourceError";
  }
}

/** A repository at an http or https URL, or in a folder. */
export function openSource(location: string): RepositorySource {
  return /^https?:\/\//i.test(location) ? atUrl(location) : inFolder(location);
}

const TIMEOUT_MS = 60_000;
/** What is not there; some stores say "forbidden" rather than that. */
const ABSENT = new Set([403, 404]);

function atUrl(location: string): RepositorySource {
  const base = new URL(location);
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  const access = accessTo(base, process.env);
  return {
    fetch: async (file, maxBytes) => {
      const url = new URL(base);
      url.pathname += file;
      try {
        const signal = AbortSignal.timeout(TIMEOUT_MS);
        const response = await fetch(url, { ...(await access), signal });
        if (response.ok && response.body) return await readMetadata(response.body, file, maxBytes);
        await response.body?.cancel();
        if (ABSENT.has(response.status)) return undefined;
        throw new SourceError(url.href, `status ${response.status}`);
      } catch (error) {
        if (error instanceof UptaneError || error instanceof SourceError) throw error;
        throw new SourceError(url.href, reasonOf(error));
      }
    },
  };
}

/**
 * A gateway shows its repositories to those who have a token: at the one that the environment names,
 * or that somebody has logged in to, and nowhere else, its token and CA are used.
 */
async function accessTo(base: URL, env: NodeJS.ProcessEnv): Promise<RequestInit> {
  const { LATTICEWAY_URL: url, LATTICEWAY_CA: ca } = env;
  const gateway = await credentialsOf(env).catch(() => undefined);
  if (gateway && isAt(gateway.url, base)) {
    const headers = { authorization: `Bearer ${await gateway.token()}` };
    return { dispatcher: agentFor(gateway.ca), headers };
  }
  if (!ca || !url || !isAt(url, base)) return {};
  return { dispatcher: agentFor(await readFile(ca)) };
}

function agentFor(ca: Buffer | undefined): Agent {
  return new Agent({ connect: { minVersion: "TLSv1.3", ...(ca && { ca }) } });
}

function isAt(url: string, base: URL): boolean {
  return URL.canParse(url) && new URL(url).origin === base.origin;
}

function inFolder(folder: string): RepositorySource {
  return {
    fetch: async (file, maxBytes) => {
      const path = join(folder, file);
      try {
        await using handle = await open(path);
        return await readMetadata(handle.createReadStream({ autoClose: false }), file, maxBytes);
      } catch (error) {
        if (error instanceof UptaneError) throw error;
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw new SourceError(path, reasonOf(error));
      }
    },
  };
}

/** `fetch` says only that it failed; why is in the cause. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? cause.message : message;
}
