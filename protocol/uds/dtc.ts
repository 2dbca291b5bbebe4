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

/** Descriptions of codes that SAE J2012 fixes for everybody, without their failure type. */
const descriptions = new Map<string, string>([
  ["P0562", "System voltage low"],
  ["P0563", "System voltage high"],
  ["P0606", "Control module processor"],
  ["P0A0F", "Engine failed to start"],
  ["P0A1F", "Battery energy control module"],
  ["P0A7F", "Hybrid/EV battery pack deterioration"],
  ["P0A9B", "Hybrid/EV battery temperature sensor"],
  ["C0035", "Left front wheel speed sensor"],
  ["C0040", "Right front wheel speed sensor"],
  ["C0051", "Steering wheel position sensor"],
  ["B1000", "Electronic control unit"],
  ["U0073", "Control module communication bus A off"],
  ["U0100", "Lost communication with ECM/PCM A"],
  ["U0121", "Lost communication with anti-lock brake system control module"],
  ["U0140", "Lost communication with body control module"],
  ["U0146", "Lost communication with serial data gateway A"],
]);

/** What the code of a DTC means, where the standard says so. */
export function dtcDescription(dtc: number): string | undefined {
  return descriptions.get(dtcText(dtc).slice(0, 5));
}
