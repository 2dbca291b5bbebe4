import { toHex } from "#protocol/bytes/hex.ts";
import { findDtc, type Catalogue } from "./catalogue.ts";
import {
  describeRecord,
  hexId,
  unsigned,
  type DecodedValue,
  type FieldReader,
  type MessageContext,
} from "./decoded-fields.ts";
import { DTC_LENGTH, dtcSeverityNames, dtcStatusNames, dtcText } from "./dtc.ts";

/** A trouble code, and what the report says of it. */
export interface DecodedDtc {
  code: string;
  raw: string;
  description?: string;
  /** What the catalogue or, before it, the ECU says. */
  severity?: string;
  /** Status byte in hex, and its bits by name. */
  status?: string;
  status_bits?: string[];
  functional_unit?: string;
  /** -128 passed, 127 failed. */
  fault_detection_counter?: number;
  snapshots?: DecodedDtcRecord[];
  extended_data?: DecodedDtcRecord[];
}

export interface DecodedDtcRecord {
  record: number;
  values: DecodedValue[];
}

const formats = {
  0x00: "SAE J2012-DA_00",
  0x01: "ISO 14229-1",
  0x02: "SAE J1939-73",
  0x03: "ISO 11992-4",
  0x04: "SAE J2012-DA_04",
};

const functionalGroups = { 0x33: "emissions", 0xd0: "safety", 0xfe: "VOBD system" };

/**
 * The answer to 19, behind its sub-function (ISO 14229-1, 12.3).
 * @returns undefined for a report that lists no trouble codes
 */
export function describeDtcReport(
  fields: FieldReader,
  context: MessageContext,
): DecodedDtc[] | undefined {
  const dtcs: DecodedDtc[] = [];
  const report = reports.get(context.subFunction);
  report?.(fields, context, dtcs);
  return report === undefined || report === count ? undefined : dtcs;
}

type Report = (fields: FieldReader, context: MessageContext, dtcs: DecodedDtc[]) => void;

const mask = (fields: FieldReader) => fields.hex("DTCStatusAvailabilityMask", 1);
const memory = (fields: FieldReader) => fields.hex("MemorySelection", 1);
const format = (fields: FieldReader) => fields.number("DTCFormatIdentifier", 1, { words: formats });
const group = (fields: FieldReader) =>
  fields.number("FunctionalGroupIdentifier", 1, { words: functionalGroups });

/** Heads, then trouble codes with their status. */
const list =
  (...heads: readonly ((fields: FieldReader) => unknown)[]): Report =>
  (fields, { catalogue }, dtcs) => {
    for (const head of heads) head(fields);
    fields.each(DTC_LENGTH + 1, () => dtcs.push(withStatus(fields, catalogue)));
  };

const count: Report = (fields) => {
  mask(fields);
  format(fields);
  fields.number("DTCCount", 2);
};

const severities: Report = (fields, { catalogue }, dtcs) => {
  mask(fields);
  fields.each(DTC_LENGTH + 3, () => {
    const [severity = 0, unit = 0] = fields.take(2) ?? [];
    dtcs.push({
      ...withStatus(fields, catalogue),
      ...severityOf(severity),
      functional_unit: hexId(unit, 1),
    });
  });
};

const wwhObd: Report = (fields, { catalogue }, dtcs) => {
  group(fields);
  mask(fields);
  fields.hex("DTCSeverityAvailabilityMask", 1);
  format(fields);
  fields.each(DTC_LENGTH + 2, () => {
    const [severity = 0] = fields.take(1) ?? [];
    dtcs.push({ ...withStatus(fields, catalogue), ...severityOf(severity) });
  });
};

const snapshotNumbers: Report = (fields, { catalogue }, dtcs) => {
  fields.each(DTC_LENGTH + 1, () => {
    const dtc = code(fields, catalogue);
    dtcs.push({ ...dtc, snapshots: [{ record: fields.take(1)?.[0] ?? 0, values: [] }] });
  });
};

const counters: Report = (fields, { catalogue }, dtcs) => {
  fields.each(DTC_LENGTH + 1, () => {
    const dtc = code(fields, catalogue);
    const [counter = 0] = fields.take(1) ?? [];
    dtcs.push({ ...dtc, fault_detection_counter: (counter << 24) >> 24 });
  });
};

/** One trouble code and its snapshots. */
const snapshots: Report = (fields, { catalogue }, dtcs) => {
  if (fields.left < DTC_LENGTH + 1) return;
  const dtc: DecodedDtc = { ...withStatus(fields, catalogue), snapshots: [] };
  dtcs.push(dtc);
  fields.each(2, () => {
    const [record = 0] = fields.take(1) ?? [];
    dtc.snapshots?.push({ record, values: identifiers(fields, catalogue) });
  });
};

/** Records by number, each of them of one trouble code. */
const storedData: Report = (fields, { catalogue }, dtcs) => {
  fields.each(1, () => {
    const [record = 0] = fields.take(1) ?? [];
    if (fields.left < DTC_LENGTH + 1) return;
    const dtc = withStatus(fields, catalogue);
    dtcs.push({ ...dtc, snapshots: [{ record, values: identifiers(fields, catalogue) }] });
  });
};

/** One trouble code and its extended data. */
const extendedData: Report = (fields, { catalogue }, dtcs) => {
  if (fields.left < DTC_LENGTH + 1) return;
  const dtc: DecodedDtc = { ...withStatus(fields, catalogue), extended_data: [] };
  dtcs.push(dtc);
  fields.each(1, () => {
    const [record = 0] = fields.take(1) ?? [];
    dtc.extended_data?.push({ record, values: extended(fields, catalogue, record) });
  });
};

/** One record number, and that record of several trouble codes. */
const extendedByNumber: Report = (fields, { catalogue }, dtcs) => {
  const record = fields.number("DTCExtDataRecordNumber", 1) ?? 0;
  fields.each(DTC_LENGTH + 1, () => {
    const dtc = withStatus(fields, catalogue);
    const values = extended(fields, catalogue, record);
    dtcs.push({ ...dtc, extended_data: [{ record, values }] });
  });
};

const behindMemory =
  (report: Report): Report =>
  (fields, context, dtcs) => {
    memory(fields);
    report(fields, context, dtcs);
  };

const reports = new Map<number, Report>([
  ...[0x01, 0x07, 0x11, 0x12].map((id) => [id, count] as const),
  ...[0x02, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x13, 0x15].map((id) => [id, list(mask)] as const),
  [0x03, snapshotNumbers],
  [0x04, snapshots],
  [0x05, storedData],
  [0x06, extendedData],
  [0x08, severities],
  [0x09, severities],
  [0x10, extendedData],
  [0x14, counters],
  [0x16, extendedByNumber],
  [0x17, list(memory, mask)],
  [0x18, behindMemory(snapshots)],
  [0x19, behindMemory(extendedData)],
  [0x1a, list(mask, (fields) => fields.number("DTCExtDataRecordNumber", 1))],
  [0x42, wwhObd],
  [0x55, list(group, mask, format)],
  [0x56, list(group, mask, format, (fields) => fields.hex("DTCReadinessGroupIdentifier", 1))],
]);

function code(fields: FieldReader, catalogue: Catalogue): DecodedDtc {
  const bytes = fields.take(DTC_LENGTH) ?? new Uint8Array(DTC_LENGTH);
  const dtc = unsigned(bytes);
  const known = findDtc(catalogue, dtc);
  return {
    code: dtcText(dtc),
    raw: toHex(bytes),
    ...(known && { description: known.text }),
    ...(known?.severity !== undefined && { severity: known.severity }),
  };
}

function withStatus(fields: FieldReader, catalogue: Catalogue): DecodedDtc {
  const dtc = code(fields, catalogue);
  const [status = 0] = fields.take(1) ?? [];
  return { ...dtc, status: hexId(status, 1), status_bits: dtcStatusNames(status) };
}

function severityOf(severity: number): { severity?: string } {
  const [name] = dtcSeverityNames(severity);
  return name === undefined ? {} : { severity: name };
}

/**
 * `count (DID record)…`: a record ends where its codec says; one without a length may reach to the
 * end of the message, and what follows can't be told from it.
 */
function identifiers(fields: FieldReader, catalogue: Catalogue): DecodedValue[] {
  const values: DecodedValue[] = [];
  const [total = 0] = fields.take(1) ?? [];
  for (let index = 0; index < total && fields.left >= 2; index++) {
    const did = unsigned(fields.take(2) ?? EMPTY);
    const entry = catalogue.dids.get(did);
    const record = fields.take(Math.min(entry?.codec.length ?? fields.left, fields.left));
    const value = describeRecord(entry?.name ?? "unknown", entry?.codec, record ?? EMPTY);
    values.push({ did: hexId(did, 2), ...value });
  }
  return values;
}

const EMPTY = new Uint8Array(0);

function extended(fields: FieldReader, catalogue: Catalogue, record: number): DecodedValue[] {
  const entry = catalogue.extendedData.get(record);
  const bytes = fields.take(Math.min(entry?.codec.length ?? fields.left, fields.left)) ?? EMPTY;
  return [describeRecord(entry?.name ?? "unknown", entry?.codec, bytes)];
}
