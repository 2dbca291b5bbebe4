import { findDid } from "#protocol/uds/did.ts";
import { positivePayload, UnexpectedResponseError } from "#protocol/uds/response.ts";
import { Sid } from "#protocol/uds/service.ts";
import type { NetworkEcu } from "./vehicle-network.ts";

/**
 * Reads one data identifier of an ECU (service 22) by its codec.
 * @throws the link's errors, NegativeResponseError, UnexpectedResponseError
 */
export async function readDid(
  ecu: NetworkEcu,
  did: number,
  signal?: AbortSignal,
): Promise<string | number> {
  const request = Uint8Array.of(Sid.readDataByIdentifier, did >> 8, did & 0xff);
  const response = await ecu.link.request(ecu.logical_address, request, signal ? { signal } : {});
  const record = positivePayload(request, response).subarray(2);
  const value = findDid(did)?.codec.decode(record);
  if (typeof value !== "string" && typeof value !== "number") {
    throw new UnexpectedResponseError(
      Sid.readDataByIdentifier,
      `${ecu.ecu_id}: ${record.length} bytes that are no value of DID 0x${did.toString(16)}`,
    );
  }
  return value;
}
