import { byteWriter } from "#protocol/bytes/writer.ts";
import { DtcFormat } from "#protocol/uds/dtc.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import { storedDtcs, type StoredDtc } from "./dtc-memory.ts";
import {
  joinBytes,
  negative,
  positive,
  type EcuRuntime,
  type EcuService,
  type Outcome,
  type SubFunctionRule,
} from "./runtime.ts";

const Report = {
  numberByStatusMask: 0x01,
  byStatusMask: 0x02,
  snapshotIdentification: 0x03,
  snapshotRecord: 0x04,
  extendedData: 0x06,
  supported: 0x0a,
} as const;

const reports = new Map<number, SubFunctionRule>(
  Object.values(Report).map((report) => [report, {}]),
);

/** Bytes of each request. */
const lengths = new Map<number, number>([
  [Report.numberByStatusMask, 3],
  [Report.byStatusMask, 3],
  [Report.snapshotIdentification, 2],
  [Report.snapshotRecord, 6],
  [Report.extendedData, 6],
  [Report.supported, 2],
]);

/** The ECU keeps all status bits. */
const AVAILABILITY_MASK = 0xff;

/** Each failure has one snapshot; a new failure replaces it. */
const SNAPSHOT = 0x01;
const ALL_RECORDS = 0xff;

/** Extended data of one byte each, by record number. */
const extendedRecords: readonly (readonly [number: number, of: (dtc: StoredDtc) => number])[] = [
  [0x01, ({ occurrences }) => occurrences],
  [0x02, ({ aging }) => aging],
];

/** 19: DTCs by status mask and their number, snapshots, extended data, supported DTCs. */
export const readDtc: EcuService = {
  sid: Sid.readDtcInformation,
  minLength: 2,
  subFunctions: () => reports,
  handle(ecu, request) {
    const report = (request[1] ?? 0) & 0x7f;
    if (request.length !== lengths.get(report)) return negative(Nrc.incorrectMessageLength);
    const mask = request[2] ?? 0;
    const all = storedDtcs(ecu);
    const matching = all.filter(({ status }) => (status & mask) !== 0);
    switch (report) {
      case Report.numberByStatusMask: {
        const head = [report, AVAILABILITY_MASK, DtcFormat.iso14229];
        return positive(...head, byteWriter().u16(matching.length).done());
      }
      case Report.byStatusMask:
        return positive(report, AVAILABILITY_MASK, ...matching.map(withStatus));
      case Report.supported:
        return positive(report, AVAILABILITY_MASK, ...all.map(withStatus));
      case Report.snapshotIdentification:
        return positive(report, ...all.filter(hasSnapshot).map(identification));
      default:
        return recordsOf(ecu, report, request);
    }
  },
};

function hasSnapshot({ snapshot }: StoredDtc): boolean {
  return snapshot !== undefined;
}

function withStatus({ dtc, status }: StoredDtc): Uint8Array {
  return byteWriter().uint(dtc, 3).u8(status).done();
}

function identification({ dtc }: StoredDtc): Uint8Array {
  return byteWriter().uint(dtc, 3).u8(SNAPSHOT).done();
}

/** What is recorded of one DTC, by record number. */
function recordsOf(ecu: EcuRuntime, report: number, request: Uint8Array): Outcome {
  const asked = request.subarray(2, 5).reduce((sum, byte) => sum * 256 + byte, 0);
  const dtc = storedDtcs(ecu).find((each) => each.dtc === asked);
  const number = request[5] ?? 0;
  if (dtc === undefined) return negative(Nrc.requestOutOfRange);
  const records = report === Report.snapshotRecord ? snapshots(dtc) : extendedData(dtc);
  const wanted = number === ALL_RECORDS ? [...records.values()] : [records.get(number)];
  if (wanted.includes(undefined)) return negative(Nrc.requestOutOfRange);
  return positive(report, withStatus(dtc), joinBytes(wanted.map((each) => each ?? EMPTY)));
}

const EMPTY = new Uint8Array(0);

/** A number that could have a record but has none is answered without one. */
function snapshots({ snapshot }: StoredDtc): Map<number, Uint8Array> {
  const record =
    snapshot === undefined ? EMPTY : joinBytes([SNAPSHOT, Buffer.from(snapshot, "hex")]);
  return new Map([[SNAPSHOT, record]]);
}

function extendedData(dtc: StoredDtc): Map<number, Uint8Array> {
  return new Map(extendedRecords.map(([number, of]) => [number, Uint8Array.of(number, of(dtc))]));
}
