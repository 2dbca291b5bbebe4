import type { DtcDefinition } from "./definition.ts";

/** Bits of a DTC's status byte (ISO 14229-1, annex D). */
export const DtcStatus = {
  testFailed: 0x01,
  testFailedThisOperationCycle: 0x02,
  pendingDTC: 0x04,
  confirmedDTC: 0x08,
  testNotCompletedSinceLastClear: 0x10,
  testFailedSinceLastClear: 0x20,
  testNotCompletedThisOperationCycle: 0x40,
  warningIndicatorRequested: 0x80,
} as const;

/** DTC format identifiers in the answer to 19 01. */
export const DtcFormat = {
  saeJ2012Da00: 0x00,
  iso14229: 0x01,
  saeJ1939: 0x02,
  iso11992: 0x03,
  saeJ2012Da04: 0x04,
} as const;

export const DTC_LENGTH = 3;

const LETTERS = ["P", "C", "B", "U"] as const;
const TEXT = /^([PCBU])([0-3])([0-9A-F]{3})-([0-9A-F]{2})$/;

/** The three bytes of a DTC as text: `P0562-16` is code P0562 with failure type 0x16. */
export function dtcText(dtc: number): string {
  const letter = LETTERS[(dtc >> 22) & 0b11] ?? "P";
  const digits = ((dtc >> 8) & 0x3fff).toString(16).padStart(4, "0");
  const failureType = (dtc & 0xff).toString(16).padStart(2, "0");
  return `${letter}${digits}-${failureType}`.toUpperCase();
}

/** The inverse of {@link dtcText}; undefined for anything else. */
export function parseDtc(text: string): number | undefined {
  const parts = TEXT.exec(text);
  if (parts === null) return undefined;
  const [, letter = "P", first, rest, failureType] = parts;
  const system = LETTERS.findIndex((candidate) => candidate === letter);
  return (
    (system << 22) | (Number.parseInt(`${first}${rest}`, 16) << 8) | Number(`0x${failureType}`)
  );
}

/** The names of the bits that are set, from bit 0 up. */
export function dtcStatusNames(status: number): string[] {
  return Object.entries(DtcStatus)
    .filter(([, bit]) => (status & bit) !== 0)
    .map(([name]) => name);
}

/** Bits of the severity byte (D.3); bits 0 to 4 are the class of the regulations. */
const DtcSeverity = {
  maintenance_only: 0x20,
  check_at_next_halt: 0x40,
  check_immediately: 0x80,
} as const;

/** The names of the severity bits that are set. */
export function dtcSeverityNames(severity: number): string[] {
  return Object.entries(DtcSeverity)
    .filter(([, bit]) => (severity & bit) !== 0)
    .map(([name]) => name);
}

/** Codes that SAE J2012 fixes for everybody, whatever their failure type. */
export const dtcTable: readonly DtcDefinition[] = [
  { code: "P0562", text: "System voltage low" },
  { code: "P0563", text: "System voltage high" },
  { code: "P0606", text: "Control module processor" },
  { code: "P0A0F", text: "Engine failed to start" },
  { code: "P0A1F", text: "Battery energy control module" },
  { code: "P0A7F", text: "Hybrid/EV battery pack deterioration" },
  { code: "P0A9B", text: "Hybrid/EV battery temperature sensor" },
  { code: "C0035", text: "Left front wheel speed sensor" },
  { code: "C0040", text: "Right front wheel speed sensor" },
  { code: "C0051", text: "Steering wheel position sensor" },
  { code: "B1000", text: "Electronic control unit" },
  { code: "U0073", text: "Control module communication bus A off" },
  { code: "U0100", text: "Lost communication with ECM/PCM A" },
  { code: "U0121", text: "Lost communication with anti-lock brake system control module" },
  { code: "U0140", text: "Lost communication with body control module" },
  { code: "U0146", text: "Lost communication with serial data gateway A" },
];
