import { InvalidArgumentError } from "commander";
import { describe, expect, it } from "vitest";
import { momentBefore } from "#cli/moment.ts";
import { names, percentage, rate } from "#cli/option-values.ts";
import { window } from "#cli/policies.ts";
import { requirement } from "#cli/requirement.ts";
import { shares, wavesOf } from "#cli/waves.ts";

const now = new Date("2026-01-19T20:00:00Z");
const moment = (text: string) => momentBefore(text, now);

describe("values of options", () => {
  it("takes what other ECUs have to run, one after the other", () => {
    const first = requirement("brake-controller>=2.0.0");
    expect(requirement(" steering >= 1.4.0-rc.1 ", first)).toEqual([
      { ecu_type: "brake-controller", min_version: "2.0.0" },
      { ecu_type: "steering", min_version: "1.4.0-rc.1" },
    ]);
    expect(() => requirement("brake-controller>=3.0.0", first)).toThrow("required twice");
  });

  it("takes waves that make a whole", () => {
    expect(wavesOf(shares("5,20,75"), { after_min: 60 })).toEqual([
      { share: 5 },
      { share: 20, gate: { after_min: 60 } },
      { share: 75, gate: { after_min: 60 } },
    ]);
    // 0.1 + 0.2 is none of the numbers that it looks like.
    expect(shares("0.1,0.2,99.7")).toEqual([0.1, 0.2, 99.7]);
  });

  it("takes times as people write them", () => {
    expect(moment("2h")).toBe("2026-01-19T18:00:00.000Z");
    expect(moment("7d")).toBe("2026-01-12T20:00:00.000Z");
    expect(moment("2026-01-19T20:00:00+01:00")).toBe("2026-01-19T19:00:00.000Z");
    expect(moment("2026-01-19 20:00")).toBe(new Date("2026-01-19T20:00:00").toISOString());
    expect(moment("2026-01-19")).toBe(new Date("2026-01-19T00:00:00").toISOString());
  });

  it("takes maintenance windows", () => {
    expect(window("mon,fri 22:00-04:30")).toEqual([
      { days: ["mon", "fri"], from: "22:00", to: "04:30" },
    ]);
    expect(window("daily 01:00-05:00")[0]?.days).toHaveLength(7);
  });

  it.each<[(text: string) => unknown, string]>([
    ...["brake", "brake>2.0.0", "brake>=2", ">=1.0.0", "a b>=1.0.0"].map(
      (text) => [requirement, text] as [(text: string) => unknown, string],
    ),
    ...["", "5,20", "50,51", "100,0", "-1,101", "a", "1e2", "50,,50"].map(
      (text) => [shares, text] as [(text: string) => unknown, string],
    ),
    ...["0", "101", "1e1", "-1", "", "ten"].map(
      (text) => [percentage, text] as [(text: string) => unknown, string],
    ),
    ...["1.1", "2", "-0.1", ""].map((text) => [rate, text] as [(text: string) => unknown, string]),
    ...["tomorrow", "2026-13-01", "2026", "20:00", "2w", ""].map(
      (text) => [moment, text] as [(text: string) => unknown, string],
    ),
    ...["22:00-04:00", "mon 22-04", "someday 01:00-02:00", ""].map(
      (text) => [window, text] as [(text: string) => unknown, string],
    ),
    [names, "a,,b"],
  ])("%o refuses %j", (parse, text) => {
    expect(() => parse(text)).toThrow(InvalidArgumentError);
  });
});
