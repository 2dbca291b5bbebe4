import { createHash, type Hash } from "node:crypto";
import { ByteError } from "#protocol/bytes/reader.ts";
import { encodeRefusal } from "#protocol/uds/metadata-verdict.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import {
  decodeBankExpectation,
  decodeRequestDownload,
  METADATA_ADDRESS,
  type DownloadRequest,
} from "#protocol/uds/programming.ts";
import { negativeResponse } from "#protocol/uds/response.ts";
import { Rid } from "#protocol/uds/rid.ts";
import { Sid } from "#protocol/uds/service.ts";
import type { TargetFile } from "#protocol/uptane/metadata.ts";

/** An image as the director has signed it. */
export type SignedImage = Pick<TargetFile, "length" | "hashes">;

/** Keeps flash from being written with anything but what a zonal gateway has verified. */
export interface FlashGate {
  /**
   * Looks at a request to an ECU; all of them have to come by here, in their order, whoever asks.
   * @returns the answer in the ECU's place; undefined for a request that may pass
   */
  refusalOf(ecu: number, request: Uint8Array): Uint8Array | undefined;
}

/** An image on its way into an ECU, as far as it was let through. */
interface Transfer {
  image: SignedImage;
  hash: Hash;
  received: number;
  /** The last TransferData message. */
  last: Buffer | undefined;
}

/**
 * What a request may be answered with in an ECU's place. Flash is neither erased nor written without
 * a verified image. An image is hashed as it passes: its end is refused when it is another, and so is
 * a check of the memory against another hash than the signed one, which is what an ECU goes by that
 * verifies nothing. Everything else passes, metadata for the ECU's own verification included.
 * @param imageFor what the gateway has verified for an ECU
 */
export function flashGate(imageFor: (ecu: number) => SignedImage | undefined): FlashGate {
  const transfers = new Map<number, Transfer>();

  /** The NRC for a request that must not pass. */
  function download(ecu: number, request: Uint8Array): number | undefined {
    const wanted = parsed(request);
    if (wanted?.address === METADATA_ADDRESS) return undefined;
    const image = imageFor(ecu);
    if (image === undefined || wanted?.length !== image.length) return Nrc.conditionsNotCorrect;
    // The ECU would go on with the one that it has begun.
    if (transfers.get(ecu)?.last !== undefined) return Nrc.conditionsNotCorrect;
    transfers.set(ecu, { image, hash: createHash("sha256"), received: 0, last: undefined });
    return undefined;
  }

  function transferExit(ecu: number): number | undefined {
    const transfer = transfers.get(ecu);
    if (transfer === undefined) return undefined;
    const { image, hash, received } = transfer;
    if (received < image.length) return Nrc.requestSequenceError;
    if (hash.copy().digest("hex") !== sha256Of(image)) return Nrc.generalProgrammingFailure;
    transfers.delete(ecu);
    return undefined;
  }

  function erase(ecu: number, request: Uint8Array): number | undefined {
    if (imageFor(ecu) === undefined) return Nrc.conditionsNotCorrect;
    if (isStart(request) && request.length === 4) transfers.delete(ecu);
    return undefined;
  }

  function routine(ecu: number, request: Uint8Array): Uint8Array | undefined {
    if (isRoutine(request, Rid.eraseMemory)) return negative(request, erase(ecu, request));
    if (!isRoutine(request, Rid.checkMemory) || !isStart(request)) return undefined;
    const expected = expectedHash(request.subarray(4));
    const image = imageFor(ecu);
    if (image === undefined || expected === undefined) {
      return negative(request, Nrc.conditionsNotCorrect);
    }
    if (expected === sha256Of(image)) return undefined;
    const failed = encodeRefusal("UPTANE_IMAGE_MISMATCH");
    return Uint8Array.of(Sid.routineControl | 0x40, 0x01, ...request.subarray(2, 4), ...failed);
  }

  return {
    refusalOf(ecu, request) {
      switch (request[0]) {
        case Sid.diagnosticSessionControl:
        case Sid.ecuReset:
          transfers.delete(ecu);
          return undefined;
        case Sid.requestDownload:
          return negative(request, download(ecu, request));
        case Sid.transferData:
          return negative(request, transferData(transfers.get(ecu), request));
        case Sid.requestTransferExit:
          return negative(request, transferExit(ecu));
        case Sid.routineControl:
          return routine(ecu, request);
        default:
          return undefined;
      }
    },
  };
}

/**
 * Lets blocks through only in the order in which an ECU writes them (ISO 14229-1, TransferData), so
 * that what is hashed here is what is written there, whichever of them the ECU refuses.
 */
function transferData(transfer: Transfer | undefined, request: Uint8Array): number | undefined {
  const data = request.subarray(2);
  if (transfer === undefined || data.length === 0) return undefined;
  const { last, image } = transfer;
  const counter = request[1] ?? 0;
  const before = last?.[1] ?? 0;
  if (last !== undefined && counter === before) {
    return last.equals(request) ? undefined : Nrc.wrongBlockSequenceCounter;
  }
  if (counter !== ((before + 1) & 0xff)) return Nrc.wrongBlockSequenceCounter;
  if (transfer.received + data.length > image.length) return Nrc.transferDataSuspended;
  transfer.hash.update(data);
  transfer.received += data.length;
  transfer.last = Buffer.from(request);
  return undefined;
}

function negative(request: Uint8Array, nrc: number | undefined): Uint8Array | undefined {
  return nrc === undefined ? undefined : negativeResponse(request[0] ?? 0, nrc);
}

/** Undefined for what can't be read: it might be read in the ECU. */
function parsed(request: Uint8Array): DownloadRequest | undefined {
  try {
    return decodeRequestDownload(request);
  } catch (error) {
    if (error instanceof ByteError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** In hex; undefined for a record that can't be read. */
function expectedHash(record: Uint8Array): string | undefined {
  try {
    return Buffer.from(decodeBankExpectation(record).sha256).toString("hex");
  } catch (error) {
    if (error instanceof ByteError) return undefined;
    throw error;
  }
}

function sha256Of({ hashes }: SignedImage): string | undefined {
  return hashes["sha256"]?.toLowerCase();
}

function isRoutine(request: Uint8Array, rid: number): boolean {
  return request[2] === rid >> 8 && request[3] === (rid & 0xff);
}

function isStart(request: Uint8Array): boolean {
  return ((request[1] ?? 0) & 0x7f) === 0x01;
}
