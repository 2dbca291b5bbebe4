import { systemClock, type Clock } from "#protocol/doip/clock.ts";
import { decodeMaxBlockLength, encodeRequestDownload } from "#protocol/uds/programming.ts";
import { Sid } from "#protocol/uds/service.ts";
import { LONG_MS, type EcuTalk } from "./ecu-talk.ts";
import { FlashError } from "./flash-error.ts";
import { UdsLinkError } from "./uds-link.ts";

/** While the bytes keep us waiting, the ECU's session must not run out (S3, 5 s). */
const TESTER_PRESENT_MS = 2_000;

export interface TransferOptions {
  bytes: AsyncIterable<Uint8Array>;
  /** Where they go. */
  address: number;
  length: number;
  clock?: Clock | undefined;
  /** Bytes that the ECU has taken, after every block. */
  onProgress?: ((bytes: number) => void) | undefined;
}

/**
 * Sends bytes to a place in the ECU: 34, 36 …, 37. They are never held whole.
 * A block whose answer was lost with the connection is sent again.
 * @throws FlashError FLASH_IMAGE_LENGTH, what {@link EcuTalk} throws, and whatever the bytes throw
 */
export async function transfer(
  ecu: EcuTalk,
  { bytes: source, address, length, clock = systemClock, onProgress }: TransferOptions,
): Promise<void> {
  const request = encodeRequestDownload({ dataFormat: 0, address, length });
  const maxBlock = decodeMaxBlockLength(await ecu.ask(request));
  let sent = 0;
  let counter = 0;
  for await (const block of blocks(keepAlive(ecu, source, clock), maxBlock)) {
    const bytes = block.length - BLOCK_OVERHEAD;
    if (sent + bytes > length) throw wrongLength(`more than the announced ${length} bytes`);
    counter = (counter + 1) & 0xff;
    block[0] = Sid.transferData;
    block[1] = counter;
    await sendBlock(ecu, block);
    sent += bytes;
    onProgress?.(sent);
  }
  if (sent < length) throw wrongLength(`${sent} of the announced ${length} bytes`);
  await ecu.ask([Sid.requestTransferExit], LONG_MS);
}

const BLOCK_OVERHEAD = 2;
const BLOCK_TRIES = 3;

/**
 * Sends a block, once more when its answer got lost with the connection: an ECU that has it already
 * answers without writing it again (ISO 14229-1, TransferData).
 */
async function sendBlock(ecu: EcuTalk, block: Uint8Array): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await ecu.ask(block);
      return;
    } catch (error) {
      if (attempt >= BLOCK_TRIES || !(error instanceof UdsLinkError)) throw error;
    }
  }
}

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

function wrongLength(detail: string): FlashError {
  return new FlashError("FLASH_IMAGE_LENGTH", `the image has ${detail}`);
}
