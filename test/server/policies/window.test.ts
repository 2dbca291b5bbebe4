import { describe, expect, it } from "vitest";
import { weekdays, type MaintenanceWindow } from "#protocol/api/policy.ts";
import { windowState } from "#server/policies/window.ts";

const daily = (from: string, to: string): MaintenanceWindow[] => [
  { days: [...weekdays], from, to },
];
const on = (days: MaintenanceWindow["days"], from: string, to: string): MaintenanceWindow[] => [
  { days, from, to },
];

const berlin = "Europe/Berlin";
const state = (windows: MaintenanceWindow[], zone: string | null, now: string) => {
  const found = windowState(windows, zone, new Date(now));
  return found.open
    ? { closes: found.closes_at.toISOString().slice(0, 16) }
    : { opens: found.opens_at?.toISOString().slice(0, 16) };
};

describe("a maintenance window", () => {
  // Berlin is at +01:00 in winter; 2026-11-20 is a Friday.
  it.each([
    ["within", daily("22:00", "23:00"), "2026-11-20T21:30Z", { closes: "2026-11-20T22:00" }],
    [
      "at its beginning",
      daily("22:00", "23:00"),
      "2026-11-20T21:00Z",
      { closes: "2026-11-20T22:00" },
    ],
    ["at its end", daily("22:00", "23:00"), "2026-11-20T22:00Z", { opens: "2026-11-21T21:00" }],
    ["before it", daily("22:00", "23:00"), "2026-11-20T20:59Z", { opens: "2026-11-20T21:00" }],
    ["past midnight", daily("22:00", "04:00"), "2026-11-20T02:00Z", { closes: "2026-11-20T03:00" }],
    ["to midnight", daily("22:00", "24:00"), "2026-11-20T22:59Z", { closes: "2026-11-20T23:00" }],
    [
      "around the clock, never ends soon",
      daily("00:00", "24:00"),
      "2026-11-20T12:00Z",
      { closes: "2026-12-06T23:00" },
    ],
    [
      "a whole day from noon",
      on(["fri"], "12:00", "12:00"),
      "2026-11-21T10:59Z",
      { closes: "2026-11-21T11:00" },
    ],
    [
      "of a Friday, on Saturday morning",
      on(["fri"], "22:00", "04:00"),
      "2026-11-21T02:00Z",
      { closes: "2026-11-21T03:00" },
    ],
    [
      "of a Friday, on Friday morning",
      on(["fri"], "22:00", "04:00"),
      "2026-11-20T02:00Z",
      { opens: "2026-11-20T21:00" },
    ],
    [
      "of the weekday that just ended",
      on(["fri"], "10:00", "11:00"),
      "2026-11-20T10:00Z",
      { opens: "2026-11-27T09:00" },
    ],
  ])("%s", (_, windows, now, expected) => {
    expect(state(windows, berlin, now)).toEqual(expected);
  });

  it("joins with another that it touches", () => {
    const windows = [...on(["fri"], "22:00", "24:00"), ...on(["sat"], "00:00", "04:00")];
    expect(state(windows, berlin, "2026-11-20T22:00Z")).toEqual({ closes: "2026-11-21T03:00" });
  });

  // The clock goes from 02:00 to 03:00 on 2027-03-28, a Sunday.
  it.each([
    ["over the gap is an hour shorter", "01:00", "04:00", "2027-03-28T00:00", "2027-03-28T02:00"],
    [
      "that begins in the gap, begins after it",
      "02:30",
      "05:00",
      "2027-03-28T01:30",
      "2027-03-28T03:00",
    ],
    [
      "that ends in the gap, is as long as ever",
      "01:00",
      "02:30",
      "2027-03-28T00:00",
      "2027-03-28T01:30",
    ],
    ["in the gap, comes after it", "02:15", "02:45", "2027-03-28T01:15", "2027-03-28T01:45"],
    [
      "in the gap to its end, is as long as ever",
      "02:30",
      "03:00",
      "2027-03-28T01:30",
      "2027-03-28T02:00",
    ],
  ])("%s", (_, from, to, opens, closes) => {
    const windows = on(["sun"], from, to);
    expect(state(windows, berlin, "2027-03-27T12:00Z")).toEqual({ opens });
    expect(state(windows, berlin, `${opens}Z`)).toEqual({ closes });
  });

  // The clock shows 02:00 to 03:00 twice on 2026-10-25, a Sunday.
  it.each([
    [
      "over the hour that comes twice, is an hour longer",
      "01:00",
      "04:00",
      "2026-10-24T23:00",
      "2026-10-25T03:00",
    ],
    [
      "that begins in it, begins at the first",
      "02:30",
      "05:00",
      "2026-10-25T00:30",
      "2026-10-25T04:00",
    ],
    [
      "that ends in it, ends at the first",
      "01:00",
      "02:30",
      "2026-10-24T23:00",
      "2026-10-25T00:30",
    ],
    ["within it, comes once", "02:15", "02:45", "2026-10-25T00:15", "2026-10-25T00:45"],
  ])("%s", (_, from, to, opens, closes) => {
    const windows = on(["sun"], from, to);
    expect(state(windows, berlin, "2026-10-24T12:00Z")).toEqual({ opens });
    expect(state(windows, berlin, `${opens}Z`)).toEqual({ closes });
    expect(state(windows, berlin, `${closes}Z`)).not.toHaveProperty("closes");
  });

  it("opens in zones that are half an hour off, and on the other side of the date line", () => {
    expect(state(daily("22:00", "23:00"), "Asia/Kolkata", "2026-11-20T16:00Z")).toEqual({
      opens: "2026-11-20T16:30",
    });
    expect(state(on(["sat"], "00:00", "01:00"), "Pacific/Kiritimati", "2026-11-20T09:00Z")).toEqual(
      { opens: "2026-11-20T10:00" },
    );
  });

  it("is by UTC where the vehicle has no time zone, or one that nobody knows", () => {
    for (const zone of [null, "Mars/Olympus", ""]) {
      expect(state(daily("22:00", "23:00"), zone, "2026-11-20T21:30Z")).toEqual({
        opens: "2026-11-20T22:00",
      });
    }
  });

  it("never opens where there is none", () => {
    expect(state([], berlin, "2026-11-20T21:30Z")).toEqual({ opens: undefined });
  });

  it("is as the clock says, wherever that jumps", () => {
    const windows = daily("22:00", "23:00");
    const times = [
      "2026-11-20T21:30Z",
      "2031-06-01T20:30Z",
      "1999-01-01T21:30Z",
      "2026-11-20T21:30Z",
    ];
    expect(times.map((now) => state(windows, berlin, now))).toEqual([
      { closes: "2026-11-20T22:00" },
      { closes: "2031-06-01T21:00" },
      { closes: "1999-01-01T22:00" },
      { closes: "2026-11-20T22:00" },
    ]);
    for (let hour = 0; hour < 24 * 40; hour++) {
      const now = new Date(Date.parse("2026-11-20T21:30Z") + hour * 3_600_000);
      expect(windowState(windows, berlin, now).open).toBe(hour % 24 === 0);
    }
  });
});
