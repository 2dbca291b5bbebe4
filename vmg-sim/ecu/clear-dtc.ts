import { DTC_LENGTH } from "#protocol/uds/dtc.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import { clearDtcs, storedDtcs } from "./dtc-memory.ts";
import { negative, positive, type EcuService } from "./runtime.ts";

const ALL_GROUPS = 0xffffff;

/** 14: clears all DTCs, or the one that is named. */
export const clearDtc: EcuService = {
  sid: Sid.clearDiagnosticInformation,
  minLength: 1 + DTC_LENGTH,
  async handle(ecu, request) {
    if (request.length !== 1 + DTC_LENGTH) return negative(Nrc.incorrectMessageLength);
    const group = request.subarray(1).reduce((sum, byte) => sum * 256 + byte, 0);
    const cleared = storedDtcs(ecu).filter(({ dtc }) => group === ALL_GROUPS || dtc === group);
    if (cleared.length === 0 && group !== ALL_GROUPS) return negative(Nrc.requestOutOfRange);
    await clearDtcs(ecu, cleared);
    return positive();
  },
};
