import { weekdays, type MaintenanceWindow } from "#protocol/api/policy.ts";

/** Whether a maintenance window is open, and when that changes. */
export type WindowState =
  | { open: true; closes_at: Date }
  /** null: none opens any more. */
  | { open: false; opens_at: Date | null };

/**
 * Whether one of these windows is open by the clock of the vehicle. A window begins at `from` on its
 * days and lasts to the next `to`, over midnight where that is the earlier one. Of an hour that the
 * clock shows twice the first one counts; of one that it skips, the time that it would have been
 * by the clock before; so no window is ever left out.
 * @param timeZone IANA name; UTC where it is unknown
 */
export function windowState(
  windows: readonly MaintenanceWindow[],
  timeZone: string | null,
  now: Date,
): WindowState {
  const at = now.getTime();
  for (const { from, to } of openings(windows, timeZone ?? "UTC", at)) {
    if (to <= at) continue;
    return from <= at
      ? { open: true, closes_at: new Date(to) }
      : { open: false, opens_at: new Date(from) };
  }
  return { open: false, opens_at: null };
}

interface Opening {
  /** Milliseconds since 1970. */
  from: number;
  to: number;
}

interface Known {
  /** Between which `openings` are those to look at. */
  since: number;
  until: number;
  openings: Opening[];
}

const DAY_MS = 86_400_000;
const MOST_ZONES = 1000;

/** A policy's windows in the time zones of its vehicles: a check-in must not compute them. */
const known = new WeakMap<readonly MaintenanceWindow[], Map<string, Known>>();

/** Those from the last one before `at` to the next ones after it, in their order, none touching. */
function openings(
  windows: readonly MaintenanceWindow[],
  timeZone: string,
  at: number,
): readonly Opening[] {
  const byZone = known.get(windows) ?? new Map<string, Known>();
  known.set(windows, byZone);
  const there = byZone.get(timeZone);
  if (there !== undefined && there.since <= at && at < there.until) return there.openings;
  // Names of time zones come from vehicles.
  if (byZone.size >= MOST_ZONES) byZone.clear();
  const computed = { since: at, until: at + DAY_MS, openings: compute(windows, timeZone, at) };
  byZone.set(timeZone, computed);
  return computed.openings;
}

/** From two days back, for windows over midnight, on past a week and whatever day a zone skips. */
const FIRST_DAY = -2;
const LAST_DAY = 16;

function compute(windows: readonly MaintenanceWindow[], timeZone: string, at: number): Opening[] {
  const zone = existing(timeZone);
  const today = Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(zone).toPlainDate();
  const found: Opening[] = [];
  for (let day = FIRST_DAY; day <= LAST_DAY; day++) {
    const date = today.add({ days: day });
    for (const window of windows) {
      const weekday = weekdays[date.dayOfWeek - 1];
      if (weekday !== undefined && window.days.includes(weekday)) {
        found.push(openingOn(date, window, zone));
      }
    }
  }
  return joined(found.toSorted((a, b) => a.from - b.from));
}

function openingOn(
  date: Temporal.PlainDate,
  { from, to }: MaintenanceWindow,
  zone: string,
): Opening {
  const begin = date.toPlainDateTime(Temporal.PlainTime.from(from));
  const end =
    to === "24:00"
      ? date.add({ days: 1 }).toPlainDateTime()
      : (to > from ? date : date.add({ days: 1 })).toPlainDateTime(Temporal.PlainTime.from(to));
  const opens = instantOf(begin, zone);
  const closes = instantOf(end, zone);
  // The clock skips the whole of it.
  const length = begin.until(end).total("milliseconds");
  return { from: opens, to: closes > opens ? closes : opens + length };
}

/** RFC 5545 §3.3.5: of a time that is twice the first, of one that is skipped by the offset before. */
function instantOf(local: Temporal.PlainDateTime, zone: string): number {
  return local.toZonedDateTime(zone, { disambiguation: "compatible" }).epochMilliseconds;
}

/** Windows that overlap or touch are one. */
function joined(sorted: readonly Opening[]): Opening[] {
  const all: Opening[] = [];
  for (const next of sorted) {
    const last = all.at(-1);
    if (last !== undefined && next.from <= last.to) last.to = Math.max(last.to, next.to);
    else all.push({ ...next });
  }
  return all;
}

function existing(timeZone: string): string {
  try {
    return Temporal.Now.zonedDateTimeISO(timeZone).timeZoneId;
  } catch {
    return "UTC";
  }
}
