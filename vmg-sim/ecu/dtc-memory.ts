import { isDeepStrictEqual } from "node:util";
import { DtcStatus, parseDtc } from "#protocol/uds/dtc.ts";
import { Did } from "#protocol/uds/did.ts";
import type { EcuBehaviour } from "./behaviour.ts";
import { readRecord } from "./data-record.ts";
import { joinBytes, u16Bytes, type EcuRuntime } from "./runtime.ts";
import type { DtcRecord } from "./state-file.ts";

/** Cycles with a failure until a DTC is confirmed, and cycles without one until it is forgotten. */
const CONFIRMED_AFTER = 2;
const AGED_AFTER = 40;

/** What a counter of one byte stops at. */
const MAX_COUNT = 0xff;

/** What a test that has not run since the clearing looks like. */
const CLEARED =
  DtcStatus.testNotCompletedSinceLastClear | DtcStatus.testNotCompletedThisOperationCycle;

/** What is frozen when a test fails. */
const snapshotDids: readonly number[] = [Did.supplyVoltage, Did.temperature, Did.operatingTime];

export interface StoredDtc extends DtcRecord {
  dtc: number;
  /** Text form, `P0562-16`. */
  code: string;
  status: number;
}

/**
 * The trouble codes the ECU knows, with their status now.
 * @throws RangeError for a configured code that is none
 */
export function storedDtcs({ config, store }: Pick<EcuRuntime, "config" | "store">): StoredDtc[] {
  const { dtc_status, dtc_records = {} } = store.current;
  return config.dtcs.map(({ code, status }) => {
    const dtc = parseDtc(code);
    if (dtc === undefined) throw new RangeError(`${config.ecu_id}: ${code} is no DTC`);
    return { dtc, code, status: dtc_status[code] ?? status, ...(dtc_records[code] ?? noRecord) };
  });
}

const noRecord: DtcRecord = { occurrences: 0, failed_cycles: 0, aging: 0 };

/** Forgets DTCs with all that was recorded of them (ISO 14229-1, 14). */
export async function clearDtcs(ecu: EcuRuntime, cleared: readonly StoredDtc[]): Promise<void> {
  await save(
    ecu,
    cleared.map((dtc) => ({ ...dtc, ...noRecord, status: CLEARED, snapshot: undefined })),
  );
}

/**
 * An operation cycle begins: the ECU was switched on or reset (ISO 14229-1, D.2). The first one of
 * all finds the memory as the configuration has it, and gives failures a record.
 */
export async function startOperationCycle(ecu: EcuRuntime): Promise<void> {
  const known = storedDtcs(ecu);
  const isFirst = ecu.store.current.dtc_records === undefined;
  await save(
    ecu,
    known.map((dtc) => (isFirst ? asDelivered(ecu, dtc) : nextCycle(dtc))),
  );
  await runMonitors(ecu, ecu.behaviour.failingTests);
}

/**
 * The ECU's own tests run to their end, when its behaviour says which fail. While DTC setting is
 * off their results are not noted (85 02).
 */
export async function runMonitors(
  ecu: EcuRuntime,
  failingTests: EcuBehaviour["failingTests"],
): Promise<void> {
  if (failingTests === undefined || !ecu.now.dtcSetting) return;
  await save(
    ecu,
    storedDtcs(ecu).map((dtc) =>
      failingTests.includes(dtc.code) ? failed(ecu, dtc) : passed(dtc),
    ),
  );
}

function asDelivered(ecu: EcuRuntime, dtc: StoredDtc): StoredDtc {
  const hasFailed = (dtc.status & DtcStatus.testFailedSinceLastClear) !== 0;
  return hasFailed
    ? { ...dtc, occurrences: 1, failed_cycles: 1, snapshot: snapshot(ecu) }
    : { ...dtc, ...noRecord };
}

function nextCycle(dtc: StoredDtc): StoredDtc {
  const isCompleted = (dtc.status & DtcStatus.testNotCompletedThisOperationCycle) === 0;
  const hasFailed = (dtc.status & DtcStatus.testFailedThisOperationCycle) !== 0;
  const isConfirmed = (dtc.status & DtcStatus.confirmedDTC) !== 0;
  let status =
    (dtc.status & ~DtcStatus.testFailedThisOperationCycle) |
    DtcStatus.testNotCompletedThisOperationCycle;
  if (!isCompleted || hasFailed) return { ...dtc, status };
  status &= ~DtcStatus.pendingDTC;
  const aging = isConfirmed ? Math.min(dtc.aging + 1, MAX_COUNT) : 0;
  if (aging < AGED_AFTER) return { ...dtc, status, aging, failed_cycles: 0 };
  status &= ~(DtcStatus.confirmedDTC | DtcStatus.warningIndicatorRequested);
  return { ...dtc, ...noRecord, status, snapshot: undefined };
}

function failed(ecu: EcuRuntime, dtc: StoredDtc): StoredDtc {
  const isNew = (dtc.status & DtcStatus.testFailed) === 0;
  const isFirstOfCycle = (dtc.status & DtcStatus.testFailedThisOperationCycle) === 0;
  const failed_cycles = Math.min(dtc.failed_cycles + (isFirstOfCycle ? 1 : 0), MAX_COUNT);
  const isConfirmed = failed_cycles >= CONFIRMED_AFTER;
  return {
    ...dtc,
    status:
      (dtc.status & ~CLEARED) |
      DtcStatus.testFailed |
      DtcStatus.testFailedThisOperationCycle |
      DtcStatus.testFailedSinceLastClear |
      DtcStatus.pendingDTC |
      (isConfirmed ? DtcStatus.confirmedDTC : 0),
    occurrences: Math.min(dtc.occurrences + (isNew ? 1 : 0), MAX_COUNT),
    failed_cycles,
    aging: 0,
    snapshot: isNew ? snapshot(ecu) : dtc.snapshot,
  };
}

function passed(dtc: StoredDtc): StoredDtc {
  return { ...dtc, status: dtc.status & ~(CLEARED | DtcStatus.testFailed) };
}

/** The DIDs with their records, as a snapshot record carries them, in hex. */
function snapshot(ecu: EcuRuntime): string {
  const records = snapshotDids.flatMap((did) => {
    const record = readRecord(ecu, did);
    return record === undefined ? [] : [joinBytes([u16Bytes(did), record])];
  });
  return joinBytes([records.length, ...records]).toString("hex");
}

/** Most starts change nothing, and a write waits for the disk. */
async function save(ecu: EcuRuntime, changed: readonly StoredDtc[]): Promise<void> {
  const { current } = ecu.store;
  const dtc_status = { ...current.dtc_status };
  const dtc_records = { ...current.dtc_records };
  for (const { code, status, occurrences, failed_cycles, aging, snapshot: frozen } of changed) {
    dtc_status[code] = status;
    dtc_records[code] = { occurrences, failed_cycles, aging, ...(frozen && { snapshot: frozen }) };
  }
  const isKnown = isDeepStrictEqual(
    [dtc_status, dtc_records],
    [current.dtc_status, current.dtc_records],
  );
  if (!isKnown) await ecu.store.save({ ...current, dtc_status, dtc_records });
}
