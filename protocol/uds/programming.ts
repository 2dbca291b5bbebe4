import { ByteReader } from "#protocol/bytes/reader.ts";
import { byteWriter } from "#protocol/bytes/writer.ts";
import { Rid } from "./rid.ts";
import { Sid } from "./service.ts";

/*
 * The programming flow of an ECU with two banks, A and B, one of which runs:
 *
 *   10 03, 10 02             extended, then programming session
 *   27 01, 27 02             unlock programming
 *   34, 36 …, 37             the director's metadata, to METADATA_ADDRESS (where it is verified)
 *   31 01 0207               verify metadata: what the bank may be written with
 *   31 01 FF00               erase the bank that does not run
 *   34, 36 …, 37             write the image into it, at BANK_ADDRESS
 *   31 01 0202 hash version  check memory: the ECU hashes the bank; a wrong hash is a failed status
 *   31 01 FF01               check programming dependencies
 *   31 01 0203               activate: the next start runs that bank on trial
 *   11 01                    restart; F195 now tells the new version
 *   10 03, 31 01 0205        self test
 *   27 01, 27 02, 31 01 0204 confirm: the new bank stays
 *
 * A restart before the confirmation runs the old bank again. 31 01 0206 goes back to the other bank
 * on purpose, also after the confirmation while that bank is intact; it takes effect with 11 01.
 */

/** Where a bank begins, whichever of the two it is. */
export const BANK_ADDRESS = 0;

/** A region in memory, not in flash, for the metadata of an update (protocol/uptane/ecu-bundle.ts). */
export const METADATA_ADDRESS = 0x4d00_0000;

/** Security level (the odd sub-function) that unlocks programming. */
export const PROGRAMMING_LEVEL = 0x01;

const SHA256_LENGTH = 32;
const MAX_VERSION_LENGTH = 64;

/** Option record of check memory: what the bank has to contain. */
export interface BankExpectation {
  sha256: Uint8Array;
  version: string;
}

/** @throws RangeError for a hash that is not 32 bytes or a version outside 1 to 64 characters. */
export function encodeBankExpectation({ sha256, version }: BankExpectation): Uint8Array {
  const text = Buffer.from(version, "utf8");
  if (sha256.length !== SHA256_LENGTH) throw new RangeError("a SHA-256 has 32 bytes");
  if (text.length === 0 || text.length > MAX_VERSION_LENGTH) {
    throw new RangeError(`a version has 1 to ${MAX_VERSION_LENGTH} bytes`);
  }
  return byteWriter().bytes(sha256).u8(text.length).bytes(text).done();
}

/** @throws ByteError when it is cut, too long, or followed by anything. */
export function decodeBankExpectation(record: Uint8Array): BankExpectation {
  const reader = new ByteReader(record);
  const sha256 = reader.bytes("SHA-256", SHA256_LENGTH);
  const length = reader.u8("version length");
  const version = Buffer.from(reader.bytes("version", length)).toString("utf8");
  reader.end("check memory record");
  return { sha256, version };
}

/** A request to start a routine: `31 01 RID record`. */
export function startRoutine(rid: number, record: Uint8Array = new Uint8Array(0)): Uint8Array {
  return byteWriter().u8(Sid.routineControl).u8(0x01).u16(rid).bytes(record).done();
}

const PROGRAMMING_SESSION = 0x02;
/** 38 and 3D write as well, and 84 carries any other service in itself. */
const WRITING: readonly number[] = [
  Sid.requestDownload,
  Sid.transferData,
  Sid.requestTransferExit,
  0x38,
  0x3d,
  0x84,
];
const BANK_ROUTINES: readonly number[] = [Rid.activateBank, Rid.confirmBank, Rid.revertBank];

/**
 * Whether a request belongs to the programming flow: it leads into the programming session, carries
 * bytes into the ECU, or decides which bank runs. Without these nothing else of the flow works.
 */
export function isProgramming(request: Uint8Array): boolean {
  const [sid = 0, subFunction = 0, high = 0, low = 0] = request;
  if (sid === Sid.diagnosticSessionControl) return (subFunction & 0x7f) === PROGRAMMING_SESSION;
  if (sid === Sid.routineControl) return BANK_ROUTINES.includes((high << 8) | low);
  return WRITING.includes(sid);
}

export interface DownloadRequest {
  dataFormat: number;
  address: number;
  length: number;
}

/** `34 dataFormat sizes address length`: an address of 4 bytes, a length of 4, or 5 from 4 GiB on. */
export function encodeRequestDownload(request: DownloadRequest): Uint8Array {
  const lengthSize = request.length > 0xffff_ffff ? 5 : 4;
  return byteWriter()
    .u8(Sid.requestDownload)
    .u8(request.dataFormat)
    .u8((lengthSize << 4) | 4)
    .u32(request.address)
    .uint(request.length, lengthSize)
    .done();
}

/** @throws ByteError for a wrong length, RangeError for field sizes that do not exist. */
export function decodeRequestDownload(request: Uint8Array): DownloadRequest {
  const reader = new ByteReader(request);
  reader.u8("SID");
  const dataFormat = reader.u8("data format identifier");
  const sizes = reader.u8("address and length format identifier");
  const addressSize = sizes & 0x0f;
  const lengthSize = sizes >> 4;
  if (addressSize === 0 || addressSize > 5 || lengthSize === 0 || lengthSize > 5) {
    throw new RangeError("addresses and lengths have 1 to 5 bytes");
  }
  const address = reader.uint("memory address", addressSize);
  const length = reader.uint("memory size", lengthSize);
  reader.end("request download");
  return { dataFormat, address, length };
}

/** After the SID of the response: the longest TransferData message, its SID and counter included. */
export function encodeMaxBlockLength(maxBlockLength: number): Uint8Array {
  return byteWriter().u8(0x20).u16(maxBlockLength).done();
}

/**
 * The longest TransferData message out of the bytes after the SID of a response.
 * @throws ByteError, RangeError
 */
export function decodeMaxBlockLength(payload: Uint8Array): number {
  const reader = new ByteReader(payload);
  const size = reader.u8("length format identifier") >> 4;
  if (size === 0 || size > 4) throw new RangeError("a block length has 1 to 4 bytes");
  const maxBlockLength = reader.uint("max block length", size);
  reader.end("response to request download");
  if (maxBlockLength < 3) throw new RangeError(`a block of ${maxBlockLength} bytes holds no data`);
  return maxBlockLength;
}
