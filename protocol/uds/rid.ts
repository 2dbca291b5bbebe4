import type { RidDefinition } from "./definition.ts";
import { compileFields, type DidField } from "./did-codec.ts";

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
  /** What the routine is started with, and what its status record holds, where that is known. */
  option?: readonly DidField[];
  result?: readonly DidField[];
  definition: RidDefinition;
}

/** @throws RangeError for fields that contradict each other */
export function ridEntry(definition: RidDefinition): RidEntry {
  const { rid, name, option, result } = definition;
  return {
    rid,
    name,
    ...(option && { option: compileFields(option) }),
    ...(result && { result: compileFields(result) }),
    definition,
  };
}

/** The routines that are the same in every ECU. */
export const ridTable: readonly RidEntry[] = Object.entries(Rid).map(([name, rid]) =>
  ridEntry({ rid, name }),
);
