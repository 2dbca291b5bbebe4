import { systemClock } from "#protocol/doip/clock.ts";
import { Did, findDid } from "#protocol/uds/did.ts";
import { BANK_ADDRESS, encodeBankExpectation } from "#protocol/uds/programming.ts";
import { Rid, RoutineStatus } from "#protocol/uds/rid.ts";
import { Sid } from "#protocol/uds/service.ts";
import {
  ecuTalk,
  enterProgramming,
  EXTENDED,
  unlock,
  type EcuAccess,
  type EcuTalk,
} from "./ecu-talk.ts";
import { FlashError } from "./flash-error.ts";
import { transfer } from "./flash-transfer.ts";
import { handMetadata, type MetadataFor } from "./metadata-handover.ts";
import { UdsLinkError, type UdsLink } from "./uds-link.ts";

export interface FlashImage {
  image: AsyncIterable<Uint8Array>;
  /** Bytes of the image. */
  length: number;
  /** 32 bytes. */
  sha256: Uint8Array;
  version: string;
}

export interface FlashOptions extends FlashImage, EcuAccess {
  /** The director's metadata, for ECUs that verify it before they let themselves be written. */
  metadata?: MetadataFor | undefined;
  /** Bytes of the image that the ECU has taken, after every block. */
  onProgress?: (bytes: number) => void;
}

/** An ECU is expected back from its restart within this time, and asked in this rhythm. */
const RESTART_MS = 30_000;
const RESTART_POLL_MS = 50;

/**
 * Writes an image into the ECU's spare bank, block by block as it comes, lets the ECU check it and
 * marks it for the next start: the programming flow up to `activate`. The image is never held whole.
 * @throws FlashError, UptaneError, NegativeResponseError, UnexpectedResponseError, UdsLinkError, the
 * signal's reason, and whatever the image throws
 */
export async function flashEcu(
  link: UdsLink,
  target: number,
  options: FlashOptions,
): Promise<void> {
  const { image, length, sha256, version, metadata, signal, clock, onProgress } = options;
  const ecu = ecuTalk(link, target, signal);
  await enterProgramming(ecu, options.securityKey);
  if (metadata !== undefined) await handMetadata(ecu, metadata);
  await ecu.run("erase memory", Rid.eraseMemory);
  await transfer(ecu, { bytes: image, address: BANK_ADDRESS, length, clock, onProgress });
  await writeProgrammingDate(ecu);
  await ecu.run("check memory", Rid.checkMemory, encodeBankExpectation({ sha256, version }));
  await ecu.run("check programming dependencies", Rid.checkProgrammingDependencies);
  await ecu.run("activate bank", Rid.activateBank);
}

/**
 * Restarts the ECU, which then tries the bank that was activated or runs the one it goes back to,
 * and waits until it answers again.
 * @throws FlashError FLASH_NO_RESTART, NegativeResponseError, UdsLinkError, the signal's reason
 */
export async function restartIntoNewBank(
  link: UdsLink,
  target: number,
  { signal, clock = systemClock }: Pick<EcuAccess, "signal" | "clock"> = {},
): Promise<void> {
  const ecu = ecuTalk(link, target, signal);
  await ecu.ask([Sid.ecuReset, 0x01]);
  const deadline = clock.now() + RESTART_MS;
  for (;;) {
    try {
      await ecu.ask([Sid.testerPresent, 0x00]);
      return;
    } catch (error) {
      if (!(error instanceof UdsLinkError) || clock.now() > deadline) throw noRestart(error);
    }
    await new Promise<void>((resolve) => {
      clock.after(RESTART_POLL_MS, resolve);
    });
  }
}

/** Runs the ECU's self test; false when it found something. */
export async function checkHealth(
  link: UdsLink,
  target: number,
  { signal }: Pick<EcuAccess, "signal"> = {},
): Promise<boolean> {
  const ecu = ecuTalk(link, target, signal);
  await ecu.ask([Sid.diagnosticSessionControl, EXTENDED]);
  const [status] = await ecu.routine(Rid.selfTest);
  return status === RoutineStatus.passed;
}

/**
 * Makes the image that runs on trial permanent; its self test has to have passed since the restart.
 * @throws NegativeResponseError when there is nothing on trial or the self test is missing
 */
export async function confirmBank(link: UdsLink, target: number, access: EcuAccess): Promise<void> {
  await runUnlocked(link, target, access, "confirm bank", Rid.confirmBank);
}

/**
 * Goes back to the other bank, from a trial or from a confirmed image; restart the ECU afterwards.
 * @throws NegativeResponseError when the other bank holds no image that has proven itself
 */
export async function revertBank(link: UdsLink, target: number, access: EcuAccess): Promise<void> {
  await runUnlocked(link, target, access, "revert bank", Rid.revertBank);
}

async function runUnlocked(
  link: UdsLink,
  target: number,
  { securityKey, signal }: EcuAccess,
  name: string,
  rid: number,
): Promise<void> {
  const ecu = ecuTalk(link, target, signal);
  await ecu.ask([Sid.diagnosticSessionControl, EXTENDED]);
  await unlock(ecu, securityKey);
  await ecu.run(name, rid);
}

async function writeProgrammingDate(ecu: EcuTalk): Promise<void> {
  const did = Did.programmingDate;
  const today = Temporal.Now.plainDateISO("UTC").toString();
  const record = findDid(did)?.codec.encode(today) ?? new Uint8Array(0);
  await ecu.ask([Sid.writeDataByIdentifier, did >> 8, did & 0xff, ...record]);
}

function noRestart(error: unknown): unknown {
  return error instanceof UdsLinkError
    ? new FlashError("FLASH_NO_RESTART", `the ECU did not come back: ${error.message}`)
    : error;
}
