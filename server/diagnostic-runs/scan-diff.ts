import type { ScanDiff, ScanDtc, ScanEcu } from "#protocol/api/diagnostic-scan.ts";

type Compared = Pick<ScanDiff, "ecus_missing" | "ecus_new" | "dtcs_unread" | "dtcs" | "dids">;
type Did = ScanEcu["dids"][number];

/**
 * What has changed from one scan of a vehicle to another. Trouble codes of an ECU are compared only
 * when both scans have read them: those that could not be read are not gone.
 */
export function diffScans(before: readonly ScanEcu[], after: readonly ScanEcu[]): Compared {
  const old = new Map(before.map((ecu) => [ecu.ecu_id, ecu]));
  const now = new Map(after.map((ecu) => [ecu.ecu_id, ecu]));
  const pairs = after.flatMap((ecu) => {
    const was = old.get(ecu.ecu_id);
    return was ? [{ was, is: ecu }] : [];
  });
  const isUnread = ({ was, is }: Pair) => was.dtcs === null || is.dtcs === null;
  return {
    ecus_missing: [...old.keys()].filter((id) => !now.has(id)),
    ecus_new: [...now.keys()].filter((id) => !old.has(id)),
    dtcs_unread: pairs.filter(isUnread).map(({ is }) => is.ecu_id),
    dtcs: pairs.filter((pair) => !isUnread(pair)).flatMap(dtcChanges),
    dids: pairs.flatMap(didChanges),
  };
}

/** testFailed, pendingDTC and confirmedDTC (ISO 14229-1, D.2): what speaks of a failure. */
const FAILURE = 0x0d;

/** A DTC of an ECU. */
export interface FreshDtc {
  ecu_id: string;
  code: string;
}

/** The trouble codes that speak of a failure and did not before, or were not there. */
export function freshDtcs(before: readonly ScanEcu[], after: readonly ScanEcu[]): FreshDtc[] {
  const speaks = (status: string | null) => (Number(status ?? 0) & FAILURE) !== 0;
  return diffScans(before, after)
    .dtcs.filter((dtc) => !speaks(dtc.before) && speaks(dtc.after))
    .map(({ ecu_id, code }) => ({ ecu_id, code }));
}

interface Pair {
  was: ScanEcu;
  is: ScanEcu;
}

function dtcChanges({ was, is }: Pair): ScanDiff["dtcs"] {
  return changed(was.dtcs ?? [], is.dtcs ?? [], ({ raw }) => raw).flatMap(([before, after]) => {
    const dtc = after ?? before;
    if (dtc === undefined || before?.status === after?.status) return [];
    const [had, has] = [bitsOf(before), bitsOf(after)];
    return [
      {
        ecu_id: is.ecu_id,
        code: dtc.code,
        raw: dtc.raw,
        ...(dtc.description !== undefined && { description: dtc.description }),
        change: before === undefined ? "new" : after === undefined ? "gone" : "status",
        before: before?.status ?? null,
        after: after?.status ?? null,
        bits_set: has.filter((bit) => !had.includes(bit)),
        bits_cleared: had.filter((bit) => !has.includes(bit)),
      },
    ];
  });
}

const bitsOf = (dtc: ScanDtc | undefined) => dtc?.status_bits ?? [];

function didChanges({ was, is }: Pair): ScanDiff["dids"] {
  return changed<Did>(was.dids, is.dids, ({ did }) => did).flatMap(([before, after]) => {
    const did = after ?? before;
    if (did === undefined || before?.raw === after?.raw) return [];
    const { did: id, name } = did;
    return [{ ecu_id: is.ecu_id, did: id, name, before: before ?? null, after: after ?? null }];
  });
}

/** What has the same key in two lists, side by side, in the order of the keys. */
function changed<Item>(
  before: readonly Item[],
  after: readonly Item[],
  keyOf: (item: Item) => string,
): [Item | undefined, Item | undefined][] {
  const old = new Map(before.map((item) => [keyOf(item), item]));
  const now = new Map(after.map((item) => [keyOf(item), item]));
  return [...new Set([...old.keys(), ...now.keys()])]
    .sort()
    .map((key) => [old.get(key), now.get(key)]);
}
