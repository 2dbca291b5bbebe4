import { byteWriter } from "#protocol/bytes/writer.ts";
import { DtcFormat } from "#protocol/uds/dtc.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import { negative, positive, type EcuService, type SubFunctionRule } from "./runtime.ts";
import { storedDtcs, type StoredDtc } from "./stored-dtc.ts";

const Report = { numberByStatusMask: 0x01, byStatusMask: 0x02, supported: 0x0a } as const;

const reports = new Map<number, SubFunctionRule>(
  Object.values(Report).map((report) => [report, {}]),
);

/** The ECU keeps all status bits. */
const AVAILABILITY_MASK = 0xff;

/** 19: number of DTCs and DTCs by status mask, supported DTCs. */
export const readDtc: EcuService = {
  sid: Sid.readDtcInformation,
  minLength: 2,
  subFunctions: () => reports,
  handle(ecu, request) {
    const report = (request[1] ?? 0) & 0x7f;
    const length = report === Report.supported ? 2 : 3;
    if (request.length !== length) return negative(Nrc.incorrectMessageLength);
    const mask = request[2] ?? 0;
    const all = storedDtcs(ecu);
    const matching = all.filter(({ status }) => (status & mask) !== 0);
    if (report === Report.numberByStatusMask) {
      const { length: count } = matching;
      const answer = byteWriter().u8(report).u8(AVAILABILITY_MASK).u8(DtcFormat.iso14229);
      return positive(answer.u16(count).done());
    }
    return positive(report, AVAILABILITY_MASK, list(report === Report.supported ? all : matching));
  },
};

function list(dtcs: readonly StoredDtc[]): Uint8Array {
  const writer = byteWriter();
  for (const { dtc, status } of dtcs) writer.uint(dtc, 3).u8(status);
  return writer.done();
}
