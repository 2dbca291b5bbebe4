import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface OpenFile {
  path: string;
  /** Bytes that were read from it one after the other; reads at a position don't count. */
  readSoFar: number;
}

/** The files in a folder that this process has open; only Linux tells. */
export function openFilesIn(folder: string): OpenFile[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      if (!path.startsWith(folder)) return [];
      const facts = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
      return [{ path, readSoFar: Number(/^pos:\s*(\d+)/m.exec(facts)?.[1]) }];
    } catch {
      // It was closed meanwhile, as the list of this folder itself was.
      return [];
    }
  });
}
