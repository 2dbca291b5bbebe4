import { covers, type TesterRole } from "#crypto/tester-role.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { Rid } from "#protocol/uds/rid.ts";
import { Sid } from "#protocol/uds/service.ts";
import type { EcuRuntime, Tester } from "./runtime.ts";
import type { TesterState } from "./tester-certificate.ts";

/** An authentication ends after this long without a request of its tester, in any session. */
const IDLE_MS = 5_000;

/** Testers with an authentication; the one silent for longest gives way. */
const MAX_TESTERS = 16;

/**
 * Looks at what a tester may do by its authentication, for one request. Testers inside the vehicle
 * need none: the VMG has its own key (27), and the gateway decides who may use it.
 * @returns the NRC for a tester that has to authenticate first
 */
export function admitTester(
  ecu: EcuRuntime,
  request: Uint8Array,
  { source }: Tester,
): number | undefined {
  const now = ecu.clock.now();
  const state = ecu.now.testers.get(source);
  if (state !== undefined && now - state.lastActivity >= IDLE_MS) ecu.now.testers.delete(source);
  else if (state !== undefined) state.lastActivity = now;
  const needed = roleFor(request);
  const role = roleOf(ecu, source);
  ecu.now.isCovered = needed !== undefined && role !== undefined && covers(role, needed);
  const { requiredFrom } = ecu.authentication;
  const isDemanded =
    needed !== undefined &&
    requiredFrom !== undefined &&
    covers(needed, requiredFrom) &&
    !isInternal(source);
  return isDemanded && !ecu.now.isCovered ? Nrc.authenticationRequired : undefined;
}

/** A tester's request has been served; it may have taken long. */
export function testerServed({ now, clock }: EcuRuntime, source: number): void {
  now.isCovered = false;
  const state = now.testers.get(source);
  if (state !== undefined) state.lastActivity = clock.now();
}

/** The state of a tester that begins an authentication. */
export function testerState({ now, clock }: EcuRuntime, source: number): TesterState {
  const known = now.testers.get(source);
  if (known !== undefined) return known;
  const made: TesterState = { lastActivity: clock.now(), authorities: [] };
  now.testers.set(source, made);
  if (now.testers.size > MAX_TESTERS) {
    const [silent] = [...now.testers].reduce((oldest, each) =>
      each[1].lastActivity < oldest[1].lastActivity ? each : oldest,
    );
    now.testers.delete(silent);
  }
  return made;
}

function roleOf(ecu: EcuRuntime, source: number): TesterRole | undefined {
  const right = ecu.now.testers.get(source)?.right;
  if (right === undefined || ecu.authentication.now().getTime() > right.until) return undefined;
  return right.role;
}

/** Testers inside the vehicle (ISO 13400-2, table of logical addresses). */
function isInternal(source: number): boolean {
  return source >= 0x0f00 && source <= 0x0f7f;
}

/** Sessions, security access, authentication and tester present are for everybody. */
const ROLES = new Map<number, TesterRole>([
  [Sid.ecuReset, "control"],
  [Sid.clearDiagnosticInformation, "write"],
  [Sid.readDtcInformation, "read"],
  [Sid.readDataByIdentifier, "read"],
  [Sid.readMemoryByAddress, "read"],
  [Sid.communicationControl, "control"],
  [Sid.readDataByPeriodicIdentifier, "read"],
  [Sid.dynamicallyDefineDataIdentifier, "read"],
  [Sid.writeDataByIdentifier, "write"],
  [Sid.inputOutputControlByIdentifier, "control"],
  [Sid.routineControl, "control"],
  [Sid.requestDownload, "programming"],
  [Sid.requestUpload, "programming"],
  [Sid.transferData, "programming"],
  [Sid.requestTransferExit, "programming"],
  [Sid.writeMemoryByAddress, "write"],
  [Sid.controlDtcSetting, "control"],
]);

const programmingRoutines: readonly number[] = [
  Rid.eraseMemory,
  Rid.checkMemory,
  Rid.checkProgrammingDependencies,
  Rid.activateBank,
  Rid.verifyMetadata,
  Rid.confirmBank,
  Rid.revertBank,
];

/** The role that a request is of; undefined for one that is everybody's. */
function roleFor(request: Uint8Array): TesterRole | undefined {
  const [sid = 0, , high = 0, low = 0] = request;
  if (sid === Sid.routineControl && programmingRoutines.includes(high * 256 + low)) {
    return "programming";
  }
  return ROLES.get(sid);
}
