import { readdirSync, readFileSync, writeFileSync } from "node:fs";

/** Jiffies a second; the kernel reports to programs in this unit whatever its own tick. */
const USER_HZ = 100;

/** Processor seconds that a process and its living children have used. */
export function cpuSeconds(pid: number): number {
  // proc_pid_stat(5): the name, in brackets, may hold blanks; `utime` and `stime` are 14 and 15.
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const own = (Number(fields[11]) + Number(fields[12])) / USER_HZ;
  return childrenOf(pid).reduce((sum, child) => sum + cpuSeconds(child), own);
}

/** Resident bytes of a process: now, and the most since {@link resetPeak}. */
export function residentBytes(pid: number): { now: number; peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kilobytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]);
  return { now: kilobytes("VmRSS") * 1024, peak: kilobytes("VmHWM") * 1024 };
}

/** proc_pid_clear_refs(5): 5 sets the peak of the resident set to what it is now. */
export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8")
      .split(" ")
      .filter((text) => text !== "")
      .map(Number),
  );
}
