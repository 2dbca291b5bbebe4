import type { FileHandle } from "node:fs/promises";
import { ByteError } from "#protocol/bytes/reader.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import {
  BANK_ADDRESS,
  decodeRequestDownload,
  encodeMaxBlockLength,
  METADATA_ADDRESS,
  PROGRAMMING_LEVEL,
  type DownloadRequest,
} from "#protocol/uds/programming.ts";
import { Sid } from "#protocol/uds/service.ts";
import { MAX_BUNDLE_BYTES } from "#protocol/uptane/ecu-bundle.ts";
import {
  assignedImage,
  negative,
  positive,
  Session,
  type EcuRuntime,
  type EcuService,
  type TransferTarget,
} from "./runtime.ts";

/** The image as it is: neither compressed nor encrypted. */
const PLAIN = 0x00;

/** 34: begins to write the spare bank, which has to be erased, or takes metadata into memory. */
export const requestDownload: EcuService = {
  sid: Sid.requestDownload,
  sessions: [Session.programming],
  levels: [PROGRAMMING_LEVEL],
  minLength: 5,
  async handle(ecu, request) {
    const download = parse(request);
    if (typeof download === "number") return negative(download);
    const { dataFormat, length } = download;
    if (dataFormat !== PLAIN) return negative(Nrc.requestOutOfRange);
    if (ecu.now.transfer !== undefined) return negative(Nrc.conditionsNotCorrect);
    const to = await targetOf(ecu, download);
    if (typeof to === "number") return negative(to);
    ecu.now.transfer = { direction: "download", to, announced: length, received: 0, blocks: 0 };
    return positive(encodeMaxBlockLength(ecu.config.max_block_length));
  },
};

/** Where the bytes may go, or the NRC for a place where they may not. */
async function targetOf(
  ecu: EcuRuntime,
  { address, length }: DownloadRequest,
): Promise<TransferTarget | number> {
  if (address === METADATA_ADDRESS && ecu.trust !== undefined) {
    if (length === 0 || length > MAX_BUNDLE_BYTES) return Nrc.requestOutOfRange;
    return metadataMemory(ecu, length);
  }
  if (address !== BANK_ADDRESS) return Nrc.requestOutOfRange;
  if (length === 0 || length > ecu.config.bank_bytes) return Nrc.requestOutOfRange;
  if (ecu.trust !== undefined) {
    const image = assignedImage(ecu);
    if (image === undefined) return Nrc.conditionsNotCorrect;
    if (image.file.length !== length) return Nrc.requestOutOfRange;
  }
  if (!ecu.flash.settled || ecu.flash.spare.status !== "empty") {
    return Nrc.uploadDownloadNotAccepted;
  }
  return bank(ecu, await ecu.flash.openSpare());
}

function bank(ecu: EcuRuntime, file: FileHandle): TransferTarget {
  return {
    kind: "flash",
    async write(data, at) {
      for (let written = 0; written < data.length;) {
        const { bytesWritten } = await file.write(
          data,
          written,
          data.length - written,
          at + written,
        );
        written += bytesWritten;
      }
    },
    async finish(length) {
      await file.datasync();
      await ecu.flash.finishSpare(length);
    },
    close: () => file.close(),
  };
}

function metadataMemory(ecu: EcuRuntime, length: number): TransferTarget {
  delete ecu.now.metadata;
  const memory = Buffer.alloc(length);
  return {
    kind: "memory",
    write(data, at) {
      memory.set(data, at);
      return Promise.resolve();
    },
    finish() {
      ecu.now.metadata = memory;
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
}

/** The request, or the NRC for one that is malformed. */
function parse(request: Uint8Array): DownloadRequest | number {
  try {
    return decodeRequestDownload(request);
  } catch (error) {
    if (error instanceof ByteError) return Nrc.incorrectMessageLength;
    if (error instanceof RangeError) return Nrc.requestOutOfRange;
    throw error;
  }
}
