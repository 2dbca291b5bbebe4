import { InvalidArgumentError } from "commander";

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i;
const LOCAL = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?))?$/;
const AGO = /^(\d{1,6})([mhd])$/;
const MINUTES = { m: 1, h: 60, d: 1440 } as const;

/** {@link momentBefore} now. @throws InvalidArgumentError */
export function moment(text: string): string {
  return momentBefore(text, new Date());
}

/**
 * A time as people write it: RFC 3339, `2026-01-19 20:00` or `2026-01-19` by this machine's clock,
 * or `90m`, `2h`, `7d` ago.
 * @returns RFC 3339, UTC
 * @throws InvalidArgumentError
 */
export function momentBefore(text: string, now: Date): string {
  const [, ago, unit] = AGO.exec(text) ?? [];
  if (ago !== undefined) {
    const minutes = Number(ago) * MINUTES[unit as keyof typeof MINUTES];
    return new Date(now.getTime() - minutes * 60_000).toISOString();
  }
  const [, day, time = "00:00"] = LOCAL.exec(text) ?? [];
  const date = new Date(day === undefined ? text : `${day}T${time}`);
  const isTime = day !== undefined || RFC_3339.test(text);
  if (isTime && !Number.isNaN(date.getTime())) return date.toISOString();
  throw new InvalidArgumentError(
    "It is 2026-01-19T20:00:00Z, 2026-01-19 20:00, or 2h for 2 hours ago.",
  );
}
