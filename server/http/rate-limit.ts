import { isIPv6 } from "node:net";

export interface RateLimit {
  /** @returns undefined when the source may go on, else after how many seconds it may */
  take(address: string): number | undefined;
}

/** Far more than log in within a minute; each takes some hundred bytes. */
const MAX_SOURCES = 10_000;

/**
 * So many in a minute from one address: at once, then as time goes by (token bucket). Sources that
 * were quiet for longest are forgotten first.
 * @param now milliseconds that never go back
 */
export function createRateLimit(
  perMinute: number,
  now: () => number = () => performance.now(),
): RateLimit {
  const msEach = 60_000 / perMinute;
  /** When each source will have all of its tries again, the longest quiet first. */
  const fullAt = new Map<string, number>();
  return {
    take(address) {
      const source = sourceOf(address);
      const at = now();
      const full = Math.max(fullAt.get(source) ?? at, at);
      const over = full + msEach - (at + 60_000);
      if (over > 0.001) return Math.ceil(over / 1000);
      fullAt.delete(source);
      fullAt.set(source, full + msEach);
      if (fullAt.size > MAX_SOURCES) {
        for (const oldest of fullAt.keys()) {
          fullAt.delete(oldest);
          break;
        }
      }
      return undefined;
    },
  };
}

/** Whoever has an IPv6 address has at least 2^64 of them. */
function sourceOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address)) return address;
  const [head = "", tail = ""] = (address.split("%")[0] ?? "").split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === "" ? [] : tail.split(":");
  const zeros = Array<string>(Math.max(0, 8 - before.length - after.length)).fill("0");
  return [...before, ...zeros, ...after].slice(0, 4).join(":");
}
