import { Sid, SUPPRESS_POSITIVE } from "./service.ts";

/** What a request may do to a vehicle, from the least on. */
export const diagnosticLevels = ["read", "write", "control"] as const;
export type DiagnosticLevel = (typeof diagnosticLevels)[number];

const levels = new Map<number, DiagnosticLevel>([
  [Sid.readDtcInformation, "read"],
  [Sid.readDataByIdentifier, "read"],
  [0x24, "read"],
  [Sid.testerPresent, "read"],
  [Sid.clearDiagnosticInformation, "write"],
  [Sid.writeDataByIdentifier, "write"],
  [0x3d, "write"],
  [Sid.controlDtcSetting, "write"],
]);

const DEFAULT_SESSION = 0x01;

/**
 * The level that a request needs. `read` leaves everything as it is; `write` changes what an ECU
 * remembers; `control` makes it do something, opens it, or can't be told. ReadMemoryByAddress (23) is
 * control, too: it reads whatever lies at an address, secrets included.
 */
export function diagnosticLevel(request: Uint8Array): DiagnosticLevel {
  const [sid, subFunction = 0] = request;
  if (sid === undefined) return "control";
  const isReturn = (subFunction & ~SUPPRESS_POSITIVE) === DEFAULT_SESSION;
  if (sid === Sid.diagnosticSessionControl && isReturn) return "read";
  return levels.get(sid) ?? "control";
}
