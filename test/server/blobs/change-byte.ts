import { closeSync, openSync, readSync, statSync, utimesSync, writeSync } from "node:fs";

/** What a careful attacker does: another byte in its place, the length kept, the times put back. */
export function changeByte(path: string, position: number): void {
  const { atime, mtime } = statSync(path);
  const file = openSync(path, "r+");
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, position);
  writeSync(file, Buffer.from([byte.readUInt8() ^ 1]), 0, 1, position);
  closeSync(file);
  utimesSync(path, atime, mtime);
}
