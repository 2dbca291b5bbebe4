const WIDTH = 30;
const EVERY_MS = 100;
const UNITS = ["B", "kB", "MB", "GB", "TB"];

interface Terminal {
  isTTY?: boolean;
  write(text: string): unknown;
}

export interface ProgressBar {
  /** So many bytes more. */
  add(bytes: number): void;
  /** Takes the bar away. */
  end(): void;
}

/** Shows how far an upload has come, on a terminal and nowhere else. */
export function progressBar(
  total: number,
  terminal: Terminal = process.stderr,
  now: () => number = () => performance.now(),
): ProgressBar {
  if (terminal.isTTY !== true) return { add: () => undefined, end: () => undefined };
  const start = now();
  let sent = 0;
  let shown = Number.NEGATIVE_INFINITY;
  return {
    add(bytes) {
      sent += bytes;
      if (now() - shown < EVERY_MS && sent < total) return;
      shown = now();
      terminal.write(`\r${line(sent, total, (shown - start) / 1000)}\u001B[K`);
    },
    end: () => terminal.write("\r\u001B[K"),
  };
}

function line(sent: number, total: number, seconds: number): string {
  const share = total === 0 ? 1 : Math.min(1, sent / total);
  const bar = "█".repeat(Math.round(share * WIDTH)).padEnd(WIDTH, "░");
  const speed = seconds > 0 ? `${byteText(sent / seconds)}/s` : "";
  const left = share > 0 ? Math.ceil((seconds * (1 - share)) / share) : 0;
  return `${bar} ${Math.floor(share * 100)} %  ${byteText(sent)} of ${byteText(total)}  ${speed}  ${left} s left`;
}

/** A size for people, by thousands. */
export function byteText(bytes: number): string {
  const power = bytes < 1000 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), UNITS.length - 1);
  const value = bytes / 1000 ** power;
  return `${power === 0 ? value.toFixed(0) : value.toFixed(1)} ${UNITS[power]}`;
}
