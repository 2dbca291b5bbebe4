/** Routine identifiers: FFxx by ISO 14229-1, annex F; 02xx are those of our programming flow. */
export const Rid = {
  checkMemory: 0x0202,
  activateBank: 0x0203,
  confirmBank: 0x0204,
  selfTest: 0x0205,
  revertBank: 0x0206,
  verifyMetadata: 0x0207,
  eraseMemory: 0xff00,
  checkProgrammingDependencies: 0xff01,
} as const;

/** The first byte of our routines' status record. */
export const RoutineStatus = { passed: 0x00, failed: 0x01 } as const;

export interface RidEntry {
  rid: number;
  name: string;
}

const ridTable: readonly RidEntry[] = Object.entries(Rid).map(([name, rid]) => ({
  rid,
  name,
}));

export function findRid(rid: number): RidEntry | undefined {
  return ridTable.find((entry) => entry.rid === rid);
}
