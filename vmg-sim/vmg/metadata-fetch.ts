import { readMetadata } from "#protocol/uptane/read-metadata.ts";
import type { FileRequest } from "#protocol/uptane/refresh.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import { GatewayError, type GatewayClient, type GatewaySettings } from "./gateway-client.ts";
import { backoffMs, type Pace } from "./pace.ts";

export interface MetadataFetchDeps {
  client: Pick<GatewayClient, "openFile">;
  gateway: GatewaySettings;
  pace: Pace;
}

/**
 * Fetches a file of one of the gateway's two repositories; undefined when the gateway has none. No
 * more than `maxBytes` are read, and no longer than a request may take: endless data end here.
 * @throws UptaneError UPTANE_METADATA_TOO_LARGE; GatewayError, the signal's reason
 */
export async function fetchMetadata(
  { client, gateway, pace }: MetadataFetchDeps,
  request: FileRequest & { repository: RepositoryName },
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await fetchOnce(client, request, signal, gateway.timeout_ms);
    } catch (error) {
      signal.throwIfAborted();
      const again = error instanceof GatewayError && error.temporary;
      if (!again || attempt >= gateway.retries) throw error;
      await pace.wait(backoffMs(attempt, gateway, pace.random), signal);
    }
  }
}

const WHOLE = { offset: 0, etag: undefined };

async function fetchOnce(
  client: MetadataFetchDeps["client"],
  { repository, file, role, maxBytes }: FileRequest & { repository: RepositoryName },
  signal: AbortSignal,
  timeoutMs: number,
): Promise<Uint8Array | undefined> {
  const late = AbortSignal.timeout(timeoutMs);
  try {
    const path = `/api/v1/uptane/${repository}/${file}`;
    const part = await client.openFile(path, WHOLE, AbortSignal.any([signal, late]));
    try {
      return await readMetadata(part.body, role, maxBytes);
    } finally {
      part.discard();
    }
  } catch (error) {
    if (error instanceof GatewayError && error.status === 404) return undefined;
    if (!late.aborted || signal.aborted) throw error;
    const message = `${repository} ${file} did not arrive within ${timeoutMs} ms`;
    throw new GatewayError("GATEWAY_UNREACHABLE", message, { error, temporary: true });
  }
}
