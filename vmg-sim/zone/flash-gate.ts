import { ByteError } from "#protocol/bytes/reader.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { decodeRequestDownload, METADATA_ADDRESS } from "#protocol/uds/programming.ts";
import { negativeResponse } from "#protocol/uds/response.ts";
import { Rid } from "#protocol/uds/rid.ts";
import { Sid } from "#protocol/uds/service.ts";

/**
 * What a zonal gateway answers in an ECU's place when a request would erase or write flash, but the
 * gateway has verified no assignment of an image of this length for the ECU. Everything else passes,
 * metadata for the ECU's own verification included.
 * @param image what the gateway has verified for the ECU
 * @returns undefined for a request that may pass
 */
export function refusalOf(
  request: Uint8Array,
  image: { length: number } | undefined,
): Uint8Array | undefined {
  const [sid] = request;
  if (sid === undefined) return undefined;
  const isRefused =
    (sid === Sid.requestDownload && !mayWrite(request, image)) ||
    (sid === Sid.routineControl && isErase(request) && image === undefined);
  return isRefused ? negativeResponse(sid, Nrc.conditionsNotCorrect) : undefined;
}

/** What can't be read here might be read there, and does not pass. */
function mayWrite(request: Uint8Array, image: { length: number } | undefined): boolean {
  try {
    const { address, length } = decodeRequestDownload(request);
    return address === METADATA_ADDRESS || length === image?.length;
  } catch (error) {
    if (error instanceof ByteError || error instanceof RangeError) return false;
    throw error;
  }
}

function isErase(request: Uint8Array): boolean {
  return request[2] === Rid.eraseMemory >> 8 && request[3] === (Rid.eraseMemory & 0xff);
}
