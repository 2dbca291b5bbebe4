import { ByteError } from "#protocol/bytes/reader.ts";
import { encodeRefusal } from "#protocol/uds/metadata-verdict.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { decodeBankExpectation, PROGRAMMING_LEVEL } from "#protocol/uds/programming.ts";
import { Rid, RoutineStatus } from "#protocol/uds/rid.ts";
import { Sid } from "#protocol/uds/service.ts";
import { UptaneError } from "#protocol/uptane/uptane-error.ts";
import { controlDefined } from "./defined-routine.ts";
import {
  assignedImage,
  endTransfer,
  negative,
  nonDefaultSessions,
  positive,
  Session,
  u16At,
  u16Bytes,
  type EcuRuntime,
  type EcuService,
  type Outcome,
} from "./runtime.ts";
import { isAssigned } from "./trust.ts";

const Control = { start: 0x01, results: 0x03 } as const;

/** Passed, or failed and why, as a status record; or the NRC that says why it did not run. */
type RoutineResult = { record: Uint8Array } | { nrc: number };

interface Routine {
  sessions: readonly Session[];
  secured: boolean;
  /** Whether an option record belongs to it; checked in its own way. */
  takesRecord?: boolean;
  run(ecu: EcuRuntime, record: Uint8Array): Promise<RoutineResult>;
}

const passed: RoutineResult = { record: Uint8Array.of(RoutineStatus.passed) };
const failed: RoutineResult = { record: Uint8Array.of(RoutineStatus.failed) };
const otherImage: RoutineResult = { record: encodeRefusal("UPTANE_IMAGE_MISMATCH") };
const outOfSequence: RoutineResult = { nrc: Nrc.requestSequenceError };
const notNow: RoutineResult = { nrc: Nrc.conditionsNotCorrect };

const programming = { sessions: [Session.programming], secured: true };
const anySession = { sessions: nonDefaultSessions, secured: true };

const routines = new Map<number, Routine>([
  [Rid.eraseMemory, { ...programming, run: eraseMemory }],
  [Rid.checkMemory, { ...programming, takesRecord: true, run: checkMemory }],
  [Rid.checkProgrammingDependencies, { ...programming, run: checkDependencies }],
  [Rid.activateBank, { ...programming, run: activateBank }],
  [Rid.verifyMetadata, { ...programming, run: verifyMetadata }],
  [Rid.selfTest, { ...anySession, secured: false, run: selfTest }],
  [Rid.confirmBank, { ...anySession, run: confirmBank }],
  [Rid.revertBank, { ...anySession, run: revertBank }],
]);

/** 31: the routines of the programming flow and those of the definition. */
export const routineControl: EcuService = {
  sid: Sid.routineControl,
  sessions: nonDefaultSessions,
  minLength: 4,
  async handle(ecu, request) {
    const control = (request[1] ?? 0) & 0x7f;
    const rid = u16At(request, 2);
    const record = request.subarray(4);
    const defined = ecu.config.definition.rids.find((each) => each.rid === rid);
    if (defined !== undefined) return controlDefined(ecu, defined, control, record);
    const routine = routines.get(rid);
    if (!routine?.sessions.includes(ecu.now.session)) return negative(Nrc.requestOutOfRange);
    const { unlocked, isCovered } = ecu.now;
    if (routine.secured && !isCovered && unlocked !== PROGRAMMING_LEVEL) {
      return negative(Nrc.securityAccessDenied);
    }
    if (control === Control.results) return results(ecu, rid, record);
    if (control !== Control.start) return negative(Nrc.subFunctionNotSupported);
    if (record.length > 0 && routine.takesRecord !== true) {
      return negative(Nrc.incorrectMessageLength);
    }
    const result = await routine.run(ecu, record);
    if ("nrc" in result) return negative(result.nrc);
    ecu.now.routineResults.set(rid, result.record);
    return positive(control, u16Bytes(rid), result.record);
  },
};

function results(ecu: EcuRuntime, rid: number, record: Uint8Array): Outcome {
  const status = ecu.now.routineResults.get(rid);
  if (status === undefined) return negative(Nrc.requestSequenceError);
  if (record.length > 0) return negative(Nrc.incorrectMessageLength);
  return positive(Control.results, u16Bytes(rid), status);
}

/** Only the bank that is sure not to be needed may be erased. */
async function eraseMemory(ecu: EcuRuntime): Promise<RoutineResult> {
  if (!ecu.flash.settled) return notNow;
  if (ecu.trust !== undefined && assignedImage(ecu) === undefined) return notNow;
  await endTransfer(ecu);
  await ecu.flash.erase();
  if (ecu.behaviour.eraseMs !== undefined) await ecu.sleep(ecu.behaviour.eraseMs);
  return passed;
}

async function checkMemory(ecu: EcuRuntime, record: Uint8Array): Promise<RoutineResult> {
  if (ecu.flash.spare.status !== "written" && ecu.flash.spare.status !== "verified") {
    return outOfSequence;
  }
  try {
    const { sha256, version } = decodeBankExpectation(record);
    if (version === "") return { nrc: Nrc.requestOutOfRange };
    if (ecu.trust !== undefined) {
      const assigned = assignedImage(ecu);
      if (assigned === undefined) return notNow;
      const image = { length: ecu.flash.spare.length, sha256: hex(sha256), version };
      if (!isAssigned(assigned, image)) return otherImage;
    }
    return (await ecu.flash.verify(sha256, version)) ? passed : failed;
  } catch (error) {
    if (error instanceof ByteError) return { nrc: Nrc.incorrectMessageLength };
    throw error;
  }
}

async function checkDependencies(ecu: EcuRuntime): Promise<RoutineResult> {
  if (ecu.flash.spare.status !== "verified") return failed;
  await ecu.flash.accept();
  return passed;
}

async function activateBank(ecu: EcuRuntime): Promise<RoutineResult> {
  if (!ecu.flash.settled || ecu.flash.spare.status !== "bootable") return outOfSequence;
  if (ecu.trust !== undefined) {
    const assigned = assignedImage(ecu);
    if (assigned === undefined || !isAssigned(assigned, ecu.flash.spare)) return notNow;
  }
  await ecu.flash.arm();
  return passed;
}

/** What is refused leaves nothing that may be written, not even what was allowed before. */
async function verifyMetadata(ecu: EcuRuntime): Promise<RoutineResult> {
  const { trust, now } = ecu;
  const { metadata } = now;
  if (trust === undefined) return { nrc: Nrc.requestOutOfRange };
  if (metadata === undefined) return outOfSequence;
  delete now.metadata;
  delete now.assigned;
  try {
    now.assigned = await trust.verify(metadata);
    return passed;
  } catch (error) {
    if (error instanceof UptaneError) return { record: encodeRefusal(error.code) };
    throw error;
  }
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

async function selfTest(ecu: EcuRuntime): Promise<RoutineResult> {
  const { flash, behaviour } = ecu;
  const unhealthy =
    flash.onTrial && (behaviour.unhealthyAfterUpdate === true || (await flash.isFaulty()));
  ecu.now.selfTestPassed = !unhealthy;
  return unhealthy ? failed : passed;
}

async function confirmBank(ecu: EcuRuntime): Promise<RoutineResult> {
  if (!ecu.flash.onTrial) return notNow;
  if (!ecu.now.selfTestPassed) return outOfSequence;
  await ecu.flash.confirm();
  return passed;
}

async function revertBank(ecu: EcuRuntime): Promise<RoutineResult> {
  return (await ecu.flash.revert()) ? passed : notNow;
}
