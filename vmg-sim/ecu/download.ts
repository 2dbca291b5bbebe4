import { ByteError } from "#protocol/bytes/reader.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import {
  decodeRequestDownload,
  encodeMaxBlockLength,
  PROGRAMMING_LEVEL,
  type DownloadRequest,
} from "#protocol/uds/programming.ts";
import { Sid } from "#protocol/uds/service.ts";
import { negative, positive, Session, type EcuService } from "./runtime.ts";

/** The image as it is: neither compressed nor encrypted. */
const PLAIN = 0x00;

/** Where a bank begins, whichever of the two it is. */
const BANK_ADDRESS = 0;

/** 34: begins to write the spare bank, which has to be erased. */
export const requestDownload: EcuService = {
  sid: Sid.requestDownload,
  sessions: [Session.programming],
  levels: [PROGRAMMING_LEVEL],
  minLength: 5,
  async handle(ecu, request) {
    const download = parse(request);
    if (typeof download === "number") return negative(download);
    const { dataFormat, address, length } = download;
    if (dataFormat !== PLAIN || address !== BANK_ADDRESS) return negative(Nrc.requestOutOfRange);
    if (length === 0 || length > ecu.config.bank_bytes) return negative(Nrc.requestOutOfRange);
    if (ecu.now.transfer !== undefined) return negative(Nrc.conditionsNotCorrect);
    if (!ecu.flash.settled || ecu.flash.spare.status !== "empty") {
      return negative(Nrc.uploadDownloadNotAccepted);
    }
    const file = await ecu.flash.openSpare();
    ecu.now.transfer = { file, announced: length, received: 0, blocks: 0 };
    return positive(encodeMaxBlockLength(ecu.config.max_block_length));
  },
};

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
