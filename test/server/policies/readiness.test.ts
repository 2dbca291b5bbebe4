import { describe, expect, it } from "vitest";
import { loadServerConfig } from "#config/server.ts";
import type { PolicySettings } from "#protocol/api/policy.ts";
import type { UpdateConditions } from "#protocol/api/readiness.ts";
import {
  checkSettings,
  demandPermission,
  policyAnswer,
  policyOf,
} from "#server/policies/policy.ts";
import { readiness, type Ask } from "#server/policies/readiness.ts";

const { default: defaults } = loadServerConfig({}).policies;
const windows: PolicySettings["windows"] = [{ days: ["fri"], from: "22:00", to: "23:00" }];
const scheduled = { mode: "scheduled", windows } as const;
/** A Friday, 13:00 in Berlin. */
const now = new Date("2026-11-20T12:00:00Z");

function ask(policy: Partial<PolicySettings>, change: Partial<Omit<Ask, "policy">> = {}) {
  const found = readiness({
    policy: { ...defaults, ...policy },
    time_zone: "Europe/Berlin",
    phase: "install",
    conditions: {},
    size: 1000,
    approval: undefined,
    now,
    ...change,
  });
  return found.ready ? [] : found.reasons;
}
const codes = (...args: Parameters<typeof ask>) => ask(...args).map(({ code }) => code);

describe("readiness", () => {
  it("is there by the shipped policy, whatever the vehicle says or leaves out", () => {
    expect(ask({})).toEqual([]);
    expect(
      ask(
        {},
        { conditions: { battery_soc: 0, free_storage_bytes: 0, parked: false, consent: false } },
      ),
    ).toEqual([]);
  });

  const demanding: [Partial<PolicySettings>, UpdateConditions, string | undefined][] = [
    [{ consent: "required" }, {}, "CONSENT_MISSING"],
    [{ consent: "required" }, { consent: false }, "CONSENT_MISSING"],
    [{ consent: "required" }, { consent: true }, undefined],
    [{ min_battery_soc: 40 }, {}, "BATTERY_LOW"],
    [{ min_battery_soc: 40 }, { battery_soc: 39.9 }, "BATTERY_LOW"],
    [{ min_battery_soc: 40 }, { battery_soc: 40 }, undefined],
    [{ min_free_storage: { bytes: 500 } }, {}, "STORAGE_LOW"],
    [{ min_free_storage: { bytes: 500 } }, { free_storage_bytes: 499 }, "STORAGE_LOW"],
    [{ min_free_storage: { bytes: 500 } }, { free_storage_bytes: 500 }, undefined],
    [{ min_free_storage: { package_factor: 1.5 } }, { free_storage_bytes: 499 }, "STORAGE_LOW"],
    // The package lies in the storage already.
    [{ min_free_storage: { package_factor: 1.5 } }, { free_storage_bytes: 500 }, undefined],
    [{ parked: true }, {}, "NOT_PARKED"],
    [{ parked: true }, { parked: false }, "NOT_PARKED"],
    [{ parked: true }, { parked: true }, undefined],
    [scheduled, {}, "WINDOW_CLOSED"],
    [{ mode: "manual" }, {}, "POLICY_MANUAL"],
  ];
  it.each(demanding)("by %j with %j: %s", (policy, conditions, code) => {
    expect(codes(policy, { conditions })).toEqual(code === undefined ? [] : [code]);
  });

  it("to download takes room for the whole package, and no parking", () => {
    const policy = { parked: true, min_free_storage: { bytes: 10, package_factor: 1.5 } };
    const download = (free_storage_bytes: number) =>
      codes(policy, { phase: "download", conditions: { free_storage_bytes, parked: false } });
    expect(download(1499)).toEqual(["STORAGE_LOW"]);
    expect(download(1500)).toEqual([]);
  });

  it("tells every reason at once", () => {
    const policy = {
      ...scheduled,
      consent: "required",
      min_battery_soc: 50,
      min_free_storage: { bytes: 1 },
      parked: true,
    } as const;
    const all = ["WINDOW_CLOSED", "CONSENT_MISSING", "BATTERY_LOW", "STORAGE_LOW", "NOT_PARKED"];
    expect(codes(policy)).toEqual(all);
    // Force goes before what people have agreed on, never before the vehicle's own state.
    expect(codes(policy, { approval: { force: true } })).toEqual(all.slice(2));
    expect(codes(policy, { approval: { force: false } })).toEqual(all);
  });

  it("by mode manual is there for a command, also without force", () => {
    expect(codes({ mode: "manual" }, { approval: { force: false } })).toEqual([]);
  });

  it("says when to ask again: when the window opens, and within a day", () => {
    expect(ask(scheduled)[0]?.retry_after_s).toBe(9 * 3600);
    const saturday: typeof windows = [{ days: ["sat"], from: "22:00", to: "23:00" }];
    expect(ask({ ...scheduled, windows: saturday })[0]?.retry_after_s).toBe(86_400);
    expect(ask(scheduled, { now: new Date("2026-11-20T20:59:59.999Z") })[0]?.retry_after_s).toBe(1);
    expect(ask({ mode: "manual", check_interval_s: 600 })[0]?.retry_after_s).toBe(600);
    for (const reason of ask({ consent: "required", min_battery_soc: 1 })) {
      expect(reason.retry_after_s).toBe(300);
    }
  });

  it("says when a window opens in UTC, and by which clock windows go", () => {
    const opens = (change: Partial<Omit<Ask, "policy">>) => ask(scheduled, change)[0]?.detail;
    expect(opens({})).toBe(
      "the next window opens 2026-11-20T21:00:00Z; windows go by the clock of Europe/Berlin",
    );
    expect(opens({ time_zone: null })).toBe(
      "the next window opens 2026-11-20T22:00:00Z; windows go by the clock of UTC, as the vehicle's time zone is unknown",
    );
  });

  it("follows a clock that jumps", () => {
    const open = new Date("2026-11-20T21:30:00Z");
    expect(ask(scheduled, { now: open })).toEqual([]);
    expect(codes(scheduled, { now: new Date("2026-11-20T22:30:00Z") })).toEqual(["WINDOW_CLOSED"]);
    expect(ask(scheduled, { now: open })).toEqual([]);
  });
});

describe("a policy", () => {
  const berlin = { time_zone: "Europe/Berlin" };
  const of = (change: Partial<PolicySettings>) =>
    policyOf(defaults, change, { source: "default", policy_id: null, name: null });

  const demand = (change: Partial<PolicySettings>, force?: boolean) => {
    const approval = force === undefined ? undefined : { force };
    demandPermission(of(change), berlin, approval, now);
  };

  it("lets a vehicle have a package by its mode, or by a command", () => {
    const refused = (code: string, retry_after_s: number) =>
      expect.objectContaining({ code, retry_after_s });
    demand({});
    expect(() => demand({ mode: "manual" })).toThrow(refused("UPDATE_NOT_APPROVED", 86_400));
    demand({ mode: "manual" }, false);
    const closed = refused("UPDATE_WINDOW_CLOSED", 9 * 3600);
    expect(() => demand(scheduled)).toThrow(closed);
    expect(() => demand(scheduled, false)).toThrow(closed);
    demand(scheduled, true);
  });

  it("is told to a vehicle with the state of its windows", () => {
    expect(policyAnswer(of({}), berlin, now)).toEqual({ ...defaults, window: null });
    expect(policyAnswer(of({ ...scheduled, windows }), berlin, now)).toMatchObject({
      mode: "scheduled",
      window: { open: false, opens_at: "2026-11-20T21:00:00.000Z", closes_at: null },
    });
    expect(
      policyAnswer(of({ ...scheduled, windows }), berlin, new Date("2026-11-20T21:10:00Z")).window,
    ).toEqual({
      open: true,
      opens_at: null,
      closes_at: "2026-11-20T22:00:00.000Z",
    });
  });

  it("has windows when it is scheduled, and only then", () => {
    expect(() => checkSettings(defaults, { mode: "scheduled" })).toThrow("needs a window");
    expect(() => checkSettings(defaults, { windows })).toThrow("knows no windows");
    checkSettings(defaults, { mode: "scheduled", windows });
    checkSettings({ ...defaults, mode: "scheduled", windows }, { mode: "auto" });
  });
});
