import { styleText } from "node:util";

/** Prints the demo's story: numbered steps, what went over the wire, and whether it held. */
export interface Narrator {
  chapter(title: string): void;
  /** A step of the scenario that is told; `ms` is how long it took. */
  step(from: string, to: string, what: string, ms?: number): void;
  /** What went over the wire, or a detail of the step above. */
  wire(text: string): void;
  /** Something that must hold; the demo's exit code is the sum of these. */
  check(what: string, held: boolean): void;
  note(text: string): void;
  failures(): number;
}

export function createNarrator(write: (line: string) => void): Narrator {
  let steps = 0;
  let failures = 0;
  return {
    chapter(title) {
      steps = 0;
      write("");
      write(styleText("bold", `━━ ${title} ${"━".repeat(Math.max(0, 74 - title.length))}`));
    },
    step(from, to, what, ms) {
      steps++;
      const arrow = `${from.padEnd(8)} → ${to.padEnd(8)}`;
      const time = ms === undefined ? "" : styleText("dim", `  ${ms.toFixed(0)} ms`);
      write(`${styleText("cyan", `[${steps}]`.padStart(4))} ${arrow} ${what}${time}`);
    },
    wire: (text) => write(styleText("dim", `       ${text}`)),
    check(what, held) {
      if (!held) failures++;
      write(held ? styleText("green", `     ✓ ${what}`) : styleText("red", `     ✗ ${what}`));
    },
    note: (text) => write(`     ${text}`),
    failures: () => failures,
  };
}

/** `12.3 MiB` */
export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1024 * 1024
    ? `${(bytes / 1024).toFixed(1)} KiB`
    : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
