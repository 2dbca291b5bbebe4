import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import { readRecord, readRefusal } from "./data-record.ts";
import { joinBytes, negative, positive, u16At, u16Bytes, type EcuService } from "./runtime.ts";

/** DIDs in one request, at most. */
const MAX_DIDS = 64;

/**
 * 22: one or more DIDs; those the ECU does not have are left out unless it has none of them. One
 * that is locked refuses all.
 */
export const readDid: EcuService = {
  sid: Sid.readDataByIdentifier,
  minLength: 3,
  handle(ecu, request) {
    if (request.length % 2 === 0 || request.length > 1 + 2 * MAX_DIDS) {
      return negative(Nrc.incorrectMessageLength);
    }
    const asked = Array.from({ length: (request.length - 1) / 2 }, (_, at) =>
      u16At(request, 1 + 2 * at),
    );
    const refusals = asked.map((did) => readRefusal(ecu, did));
    if (refusals.every((nrc) => nrc === Nrc.requestOutOfRange)) {
      return negative(Nrc.requestOutOfRange);
    }
    if (refusals.includes(Nrc.securityAccessDenied)) return negative(Nrc.securityAccessDenied);
    const records = asked
      .filter((_, at) => refusals[at] === undefined)
      .flatMap((did) => [u16Bytes(did), readRecord(ecu, did) ?? new Uint8Array(0)]);
    const payload = joinBytes(records);
    return 1 + payload.length > ecu.config.definition.max_response
      ? negative(Nrc.responseTooLong)
      : positive(payload);
  },
};
