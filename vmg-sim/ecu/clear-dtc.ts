import { DTC_LENGTH, DtcStatus, parseDtc } from "#protocol/uds/dtc.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import { negative, positive, type EcuService } from "./runtime.ts";

const ALL_GROUPS = 0xffffff;

/** What a test that has not run since the clearing looks like. */
const CLEARED =
  DtcStatus.testNotCompletedSinceLastClear | DtcStatus.testNotCompletedThisOperationCycle;

/** 14: clears all DTCs, or the one that is named. */
export const clearDtc: EcuService = {
  sid: Sid.clearDiagnosticInformation,
  minLength: 1 + DTC_LENGTH,
  async handle(ecu, request) {
    if (request.length !== 1 + DTC_LENGTH) return negative(Nrc.incorrectMessageLength);
    const group = request.subarray(1).reduce((sum, byte) => sum * 256 + byte, 0);
    const cleared = ecu.config.dtcs.filter(
      ({ code }) => group === ALL_GROUPS || parseDtc(code) === group,
    );
    if (cleared.length === 0 && group !== ALL_GROUPS) return negative(Nrc.requestOutOfRange);
    const { current } = ecu.store;
    const dtc_status = { ...current.dtc_status };
    for (const { code } of cleared) dtc_status[code] = CLEARED;
    await ecu.store.save({ ...current, dtc_status });
    return positive();
  },
};
