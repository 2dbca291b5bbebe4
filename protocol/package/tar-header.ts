/** Tar headers and files are padded to whole blocks of this many bytes. */
export const BLOCK = 512;

/** Two empty blocks end an archive (POSIX.1-2017, pax, "ustar Interchange Format"). */
export const END_OF_ARCHIVE = Buffer.alloc(2 * BLOCK);

const NAME_LENGTH = 100;
const PREFIX_LENGTH = 155;
const CHECKSUM_OFFSET = 148;
const CHECKSUM_LENGTH = 8;

/**
 * The header of a regular file, with nothing in it that could differ from run to run: mode 0644,
 * owner 0, time 0. A path that fits neither ustar's name nor its prefix gets a pax record first.
 * @param path ASCII, relative.
 * @param length below 8 GiB.
 */
export function fileHeader(path: string, length: number): Buffer {
  const split = splitPath(path);
  if (split !== undefined) return ustarBlock({ ...split, length, type: "0" });
  const record = paxRecord("path", path);
  const shortened = { prefix: "", name: path.slice(-NAME_LENGTH) };
  return Buffer.concat([
    ustarBlock({ prefix: "", name: "pax-header", length: record.length, type: "x" }),
    record,
    padding(record.length),
    ustarBlock({ ...shortened, length, type: "0" }),
  ]);
}

/** The zero bytes after a file of this length. */
export function padding(length: number): Buffer {
  return Buffer.alloc((BLOCK - (length % BLOCK)) % BLOCK);
}

/** What a header block says, as far as it matters for telling why it is not the expected one. */
export interface UstarFields {
  path: string;
  length: number;
  type: string;
}

/** @returns undefined for a block that is not a ustar header with a right checksum. */
export function readUstarBlock(block: Uint8Array): UstarFields | undefined {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  const length = octal(bytes, 124, 12);
  if (bytes.length !== BLOCK || bytes.toString("latin1", 257, 263) !== "ustar\0") return undefined;
  if (length === undefined || octal(bytes, CHECKSUM_OFFSET, CHECKSUM_LENGTH) !== checksum(bytes)) {
    return undefined;
  }
  const prefix = text(bytes, 345, PREFIX_LENGTH);
  const name = text(bytes, 0, NAME_LENGTH);
  return {
    path: prefix === "" ? name : `${prefix}/${name}`,
    length,
    type: bytes.toString("latin1", 156, 157),
  };
}

function ustarBlock(file: {
  prefix: string;
  name: string;
  length: number;
  type: "0" | "x";
}): Buffer {
  const block = Buffer.alloc(BLOCK);
  const number = (value: number, offset: number, width: number) =>
    block.write(value.toString(8).padStart(width - 1, "0"), offset, "latin1");
  block.write(file.name, 0, "latin1");
  number(0o644, 100, 8);
  number(0, 108, 8);
  number(0, 116, 8);
  number(file.length, 124, 12);
  number(0, 136, 12);
  block.write(file.type, 156, "latin1");
  block.write("ustar\u000000", 257, "latin1");
  number(0, 329, 8);
  number(0, 337, 8);
  block.write(file.prefix, 345, "latin1");
  block.write(`${checksum(block).toString(8).padStart(6, "0")}\0 `, CHECKSUM_OFFSET, "latin1");
  return block;
}

/** The checksum counts its own field as blanks. */
function checksum(block: Buffer): number {
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) {
    const own = i >= CHECKSUM_OFFSET && i < CHECKSUM_OFFSET + CHECKSUM_LENGTH;
    sum += own ? 0x20 : (block[i] ?? 0);
  }
  return sum;
}

function splitPath(path: string): { prefix: string; name: string } | undefined {
  if (path.length <= NAME_LENGTH) return { prefix: "", name: path };
  const slash = path.lastIndexOf("/", PREFIX_LENGTH);
  if (slash <= 0 || path.length - slash - 1 > NAME_LENGTH) return undefined;
  return { prefix: path.slice(0, slash), name: path.slice(slash + 1) };
}

/** `length key=value\n`, where the length counts its own digits. */
function paxRecord(key: string, value: string): Buffer {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (String(length).length + rest.length !== length)
    length = String(length).length + rest.length;
  return Buffer.from(`${length}${rest}`, "latin1");
}

function octal(bytes: Buffer, offset: number, width: number): number | undefined {
  const digits = text(bytes, offset, width).trim();
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : undefined;
}

function text(bytes: Buffer, offset: number, width: number): string {
  const field = bytes.subarray(offset, offset + width);
  const end = field.indexOf(0);
  return field.toString("latin1", 0, end === -1 ? width : end);
}
