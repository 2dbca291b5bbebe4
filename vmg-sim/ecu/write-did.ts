import { findDid } from "#protocol/uds/did.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import { isWritableBuiltIn } from "./built-in-did.ts";
import { isRecord, type DefinedDid } from "./defined-did.ts";
import {
  negative,
  nonDefaultSessions,
  positive,
  refusal,
  u16At,
  u16Bytes,
  type EcuRuntime,
  type EcuService,
} from "./runtime.ts";

/** Of a record without a length of its own. */
const MAX_RECORD = 64;

/** 2E: writes what the definition allows, and who programmed the ECU and when. */
export const writeDid: EcuService = {
  sid: Sid.writeDataByIdentifier,
  sessions: nonDefaultSessions,
  minLength: 4,
  async handle(ecu, request) {
    const did = u16At(request, 1);
    const record = request.subarray(3);
    const defined = ecu.config.dids.get(did);
    const refused =
      defined === undefined
        ? builtInRefusal(ecu, did, record)
        : definedRefusal(ecu, defined, record);
    if (refused !== undefined) return negative(refused);
    const { current } = ecu.store;
    const hex = Buffer.from(record).toString("hex");
    await ecu.store.save({ ...current, written: { ...current.written, [did.toString(16)]: hex } });
    return positive(u16Bytes(did));
  },
};

function definedRefusal(ecu: EcuRuntime, did: DefinedDid, record: Uint8Array): number | undefined {
  if (did.write === undefined) return Nrc.requestOutOfRange;
  const refused = refusal(ecu, did.write);
  if (refused !== undefined) return refused;
  const { length } = did;
  if (record.length !== (length ?? record.length)) return Nrc.incorrectMessageLength;
  if (length === undefined && record.length > MAX_RECORD) return Nrc.incorrectMessageLength;
  return isRecord(did, record) ? undefined : Nrc.requestOutOfRange;
}

/** The built-in ones need any security level. */
function builtInRefusal(ecu: EcuRuntime, did: number, record: Uint8Array): number | undefined {
  const entry = findDid(did);
  if (entry === undefined || !isWritableBuiltIn(did)) return Nrc.requestOutOfRange;
  if (!ecu.now.isCovered && ecu.now.unlocked === undefined) return Nrc.securityAccessDenied;
  const { codec } = entry;
  if (record.length !== (codec.length ?? record.length) || record.length > MAX_RECORD) {
    return Nrc.incorrectMessageLength;
  }
  return codec.decode(record) === undefined ? Nrc.requestOutOfRange : undefined;
}
