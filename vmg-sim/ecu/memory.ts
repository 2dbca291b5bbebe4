import type { EcuMemory } from "#config/ecu-definition.ts";
import { ByteError, ByteReader } from "#protocol/bytes/reader.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { refusal, type EcuRuntime } from "./runtime.ts";

/** A part of the ECU's memory. */
export interface MemoryRange {
  address: number;
  size: number;
}

/**
 * An addressAndLengthFormatIdentifier with its address and size (ISO 14229-1, annex H), or the NRC
 * for one that is malformed. `rest` says how many bytes come after it.
 */
export function memoryRangeAt(
  request: Uint8Array,
  at: number,
): { range: MemoryRange; rest: Uint8Array } | number {
  const sizes = fieldSizes(request[at] ?? 0);
  if (sizes === undefined) return Nrc.requestOutOfRange;
  const reader = new ByteReader(request.subarray(at + 1));
  try {
    const address = reader.uint("memory address", sizes.address);
    const size = reader.uint("memory size", sizes.size);
    return { range: { address, size }, rest: reader.bytes("rest", reader.remaining) };
  } catch (error) {
    if (error instanceof ByteError) return Nrc.incorrectMessageLength;
    throw error;
  }
}

/** Bytes of an address and of a size; undefined for lengths that do not exist. */
export function fieldSizes(format: number): { address: number; size: number } | undefined {
  const address = format & 0x0f;
  const size = format >> 4;
  return address < 1 || address > 5 || size < 1 || size > 4 ? undefined : { address, size };
}

/** The NRC for memory that is not there (31) or may not be used so now; undefined where it may. */
export function memoryRefusal(
  ecu: EcuRuntime,
  use: "read" | "write" | "upload",
  range: MemoryRange,
): number | undefined {
  const access = regionOf(ecu, range)?.[use];
  return access === undefined ? Nrc.requestOutOfRange : refusal(ecu, access);
}

/** The bytes of a range that {@link memoryRefusal} has nothing against. */
export function readMemory(ecu: EcuRuntime, range: MemoryRange): Buffer {
  const region = regionOf(ecu, range);
  if (region === undefined) return Buffer.alloc(0);
  const start = range.address - region.address;
  return Buffer.from(bytesOf(ecu, region).subarray(start, start + range.size));
}

/** Writes into memory, which forgets it without power. */
export function writeMemory(ecu: EcuRuntime, range: MemoryRange, data: Uint8Array): void {
  const region = regionOf(ecu, range);
  if (region !== undefined) bytesOf(ecu, region).set(data, range.address - region.address);
}

function regionOf(ecu: EcuRuntime, { address, size }: MemoryRange): EcuMemory | undefined {
  if (size === 0) return undefined;
  return ecu.config.definition.memory.find(
    (region) => address >= region.address && address + size <= region.address + region.length,
  );
}

function bytesOf({ now }: EcuRuntime, region: EcuMemory): Buffer {
  const known = now.memory.get(region.name);
  if (known !== undefined) return known;
  const bytes = Buffer.alloc(region.length, Buffer.from(region.content, "hex"));
  now.memory.set(region.name, bytes);
  return bytes;
}
