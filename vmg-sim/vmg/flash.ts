import { systemClock, type Clock } from "#protocol/doip/clock.ts";
import { Did, findDid } from "#protocol/uds/did.ts";
import {
  decodeMaxBlockLength,
  encodeBankExpectation,
  encodeRequestDownload,
  PROGRAMMING_LEVEL,
  startRoutine,
} from "#protocol/uds/programming.ts";
import { positivePayload } from "#protocol/uds/response.ts";
import { Rid, RoutineStatus } from "#protocol/uds/rid.ts";
import type { KeyFunction } from "#protocol/uds/security-key.ts";
import { Sid } from "#protocol/uds/service.ts";
import { UdsLinkError, type UdsLink } from "./uds-link.ts";

export type FlashErrorCode =
  /** A routine ran and said no. */
  | "FLASH_CHECK_FAILED"
  /** The image is longer or shorter than announced. */
  | "FLASH_IMAGE_LENGTH"
  /** The ECU did not come back from its restart. */
  | "FLASH_NO_RESTART";

export class FlashError extends Error {
  readonly code: FlashErrorCode;

  constructor(code: FlashErrorCode, message: string) {
    super(message);
    this.name = "FlashError";
    this.code = code;
  }
}

export interface FlashImage {
  image: AsyncIterable<Uint8Array>;
  /** Bytes of the image. */
  length: number;
  /** 32 bytes. */
  sha256: Uint8Array;
  version: string;
}

export interface EcuAccess {
  securityKey: KeyFunction;
  signal?: AbortSignal | undefined;
  clock?: Clock;
}

export interface FlashOptions extends FlashImage, EcuAccess {
  /** Bytes of the image that the ECU has taken, after every block. */
  onProgress?: (bytes: number) => void;
}

/** Erasing or hashing a bank may take long; 78s come all the while. */
const LONG_MS = 120_000;
const SHORT_MS = 10_000;

/** An ECU is expected back from its restart within this time, and asked in this rhythm. */
const RESTART_MS = 30_000;
const RESTART_POLL_MS = 50;

/** While the image keeps us waiting, the ECU's session must not run out (S3, 5 s). */
const TESTER_PRESENT_MS = 2_000;

const EXTENDED = 0x03;
const PROGRAMMING = 0x02;

/**
 * Writes an image into the ECU's spare bank, block by block as it comes, lets the ECU check it and
 * marks it for the next start: the programming flow up to `activate`. The image is never held whole.
 * @throws FlashError, NegativeResponseError, UnexpectedResponseError, UdsLinkError, the signal's
 * reason, and whatever the image throws
 */
export async function flashEcu(
  link: UdsLink,
  target: number,
  options: FlashOptions,
): Promise<void> {
  const { sha256, version, signal } = options;
  const ecu = ecuTalk(link, target, signal);
  await ecu.ask([Sid.diagnosticSessionControl, EXTENDED]);
  await ecu.ask([Sid.diagnosticSessionControl, PROGRAMMING]);
  await unlock(ecu, options.securityKey);
  await ecu.run("erase memory", Rid.eraseMemory);
  await transferImage(ecu, options);
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
  return (await ecu.routine(Rid.selfTest)) === RoutineStatus.passed;
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

async function unlock(ecu: EcuTalk, securityKey: KeyFunction): Promise<void> {
  const answer = await ecu.ask([Sid.securityAccess, PROGRAMMING_LEVEL]);
  const seed = answer.subarray(1);
  if (seed.every((byte) => byte === 0)) return;
  const key = securityKey(PROGRAMMING_LEVEL, seed);
  await ecu.ask([Sid.securityAccess, PROGRAMMING_LEVEL + 1, ...key]);
}

async function transferImage(
  ecu: EcuTalk,
  { image, length, clock = systemClock, onProgress }: FlashOptions,
): Promise<void> {
  const request = encodeRequestDownload({ dataFormat: 0, address: 0, length });
  const maxBlock = decodeMaxBlockLength(await ecu.ask(request));
  let sent = 0;
  let counter = 0;
  for await (const block of blocks(keepAlive(ecu, image, clock), maxBlock)) {
    const bytes = block.length - BLOCK_OVERHEAD;
    if (sent + bytes > length) throw wrongLength(`more than the announced ${length} bytes`);
    counter = (counter + 1) & 0xff;
    block[0] = Sid.transferData;
    block[1] = counter;
    await ecu.ask(block);
    sent += bytes;
    onProgress?.(sent);
  }
  if (sent < length) throw wrongLength(`${sent} of the announced ${length} bytes`);
  await ecu.ask([Sid.requestTransferExit], LONG_MS);
}

const BLOCK_OVERHEAD = 2;

/** The image cut into TransferData messages, each in the same buffer with room for its header. */
async function* blocks(
  image: AsyncIterable<Uint8Array>,
  maxBlock: number,
): AsyncGenerator<Uint8Array> {
  const block = Buffer.allocUnsafe(maxBlock);
  let filled = BLOCK_OVERHEAD;
  for await (const chunk of image) {
    for (let at = 0; at < chunk.length;) {
      const piece = chunk.subarray(at, at + maxBlock - filled);
      block.set(piece, filled);
      filled += piece.length;
      at += piece.length;
      if (filled === maxBlock) {
        yield block;
        filled = BLOCK_OVERHEAD;
      }
    }
  }
  if (filled > BLOCK_OVERHEAD) yield block.subarray(0, filled);
}

/** The image, with a tester present whenever its next piece is long in coming. */
async function* keepAlive(
  ecu: EcuTalk,
  image: AsyncIterable<Uint8Array>,
  clock: Clock,
): AsyncGenerator<Uint8Array> {
  const source = image[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = source.next();
      while ((await inTime(next, clock)) === "late") await ecu.ask([Sid.testerPresent, 0x00]);
      const { done, value } = await next;
      if (done === true) return;
      yield value;
    }
  } finally {
    await source.return?.();
  }
}

function inTime(promise: Promise<unknown>, clock: Clock): Promise<"settled" | "late"> {
  return new Promise((resolve) => {
    const cancel = clock.after(TESTER_PRESENT_MS, () => resolve("late"));
    const settled = () => {
      cancel();
      resolve("settled");
    };
    promise.then(settled, settled);
  });
}

async function writeProgrammingDate(ecu: EcuTalk): Promise<void> {
  const did = Did.programmingDate;
  const today = Temporal.Now.plainDateISO("UTC").toString();
  const record = findDid(did)?.codec.encode(today) ?? new Uint8Array(0);
  await ecu.ask([Sid.writeDataByIdentifier, did >> 8, did & 0xff, ...record]);
}

/** Requests to one ECU that have to be answered positively. */
interface EcuTalk {
  /** @returns the bytes after the SID */
  ask(request: Uint8Array | number[], timeoutMs?: number): Promise<Uint8Array>;
  /** Runs a routine. @returns its status byte */
  routine(rid: number, record?: Uint8Array): Promise<number>;
  /** Runs a routine that has to pass. */
  run(name: string, rid: number, record?: Uint8Array): Promise<void>;
}

function ecuTalk(link: UdsLink, target: number, signal: AbortSignal | undefined): EcuTalk {
  const talk: EcuTalk = {
    async ask(request, timeoutMs = SHORT_MS) {
      const bytes = request instanceof Uint8Array ? request : Uint8Array.from(request);
      return positivePayload(bytes, await link.request(target, bytes, { signal, timeoutMs }));
    },
    async routine(rid, record) {
      const answer = await talk.ask(startRoutine(rid, record), LONG_MS);
      return answer[3] ?? RoutineStatus.failed;
    },
    async run(name, rid, record) {
      const status = await talk.routine(rid, record);
      if (status !== RoutineStatus.passed) {
        throw new FlashError("FLASH_CHECK_FAILED", `${name}: status ${status}`);
      }
    },
  };
  return talk;
}

function wrongLength(detail: string): FlashError {
  return new FlashError("FLASH_IMAGE_LENGTH", `the image has ${detail}`);
}

function noRestart(error: unknown): unknown {
  return error instanceof UdsLinkError
    ? new FlashError("FLASH_NO_RESTART", `the ECU did not come back: ${error.message}`)
    : error;
}
