import { Did, findDid } from "#protocol/uds/did.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import {
  negative,
  nonDefaultSessions,
  positive,
  u16At,
  u16Bytes,
  type EcuService,
} from "./runtime.ts";

const writable: readonly number[] = [Did.testerSerialNumber, Did.programmingDate];

const MAX_RECORD = 64;

/** 2E: writes who programmed the ECU and when; needs any security level. */
export const writeDid: EcuService = {
  sid: Sid.writeDataByIdentifier,
  sessions: nonDefaultSessions,
  minLength: 4,
  async handle(ecu, request) {
    const did = u16At(request, 1);
    const entry = findDid(did);
    if (entry === undefined || !writable.includes(did)) return negative(Nrc.requestOutOfRange);
    if (ecu.now.unlocked === undefined) return negative(Nrc.securityAccessDenied);
    const record = request.subarray(3);
    const { codec } = entry;
    if (record.length !== (codec.length ?? record.length) || record.length > MAX_RECORD) {
      return negative(Nrc.incorrectMessageLength);
    }
    if (codec.decode(record) === undefined) return negative(Nrc.requestOutOfRange);
    const { current } = ecu.store;
    const hex = Buffer.from(record).toString("hex");
    await ecu.store.save({ ...current, written: { ...current.written, [did.toString(16)]: hex } });
    return positive(u16Bytes(did));
  },
};
