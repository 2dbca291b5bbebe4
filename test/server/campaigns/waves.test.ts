import { describe, expect, it } from "vitest";
import type { Wave } from "#protocol/api/campaign.ts";
import { nextWave, type WaveState } from "#server/campaigns/waves.ts";

const start = new Date("2026-03-01T10:00:00Z");
const after = (minutes: number) => new Date(start.getTime() + minutes * 60_000);
const nothing = { succeeded: 0, failed: 0 };

const staggered: Wave[] = [
  { share: 10 },
  { share: 40, gate: { after_min: 5 } },
  { share: 50, gate: { after_min: 60 } },
];
const gate = { min_finished: 10, max_failure_rate: 0.1, soak_min: 30 };
const gated: Wave[] = [{ share: 10 }, { share: 90, gate }];

function state(waves: Wave[], opened: number[], gateMet?: number): WaveState {
  return {
    waves,
    waves_opened: opened.map(after),
    gate_met_at: gateMet === undefined ? null : after(gateMet),
  };
}

describe("by time", () => {
  it.for([
    ["before its minutes are over", [0], 4.99, { kind: "due", wave: 1, at: after(5) }],
    ["with its minutes over", [0], 5, { kind: "open", wave: 1 }],
    ["the third from the second", [0, 7], 66, { kind: "due", wave: 2, at: after(67) }],
    ["the third when its time is there", [0, 7], 67, { kind: "open", wave: 2 }],
    ["no more than there are", [0, 7, 67], 1000, { kind: "none" }],
  ] as const)("%s", ([, opened, now, expected]) => {
    expect(nextWave(state(staggered, [...opened]), nothing, after(now))).toMatchObject(expected);
  });

  it("opens one wave at a time, after whatever standstill", () => {
    const late = after(10_000);
    expect(nextWave(state(staggered, [0]), nothing, late)).toEqual({ kind: "open", wave: 1 });
    expect(nextWave(state(staggered, [0, 10_000]), nothing, late)).toMatchObject({ kind: "due" });
  });

  it("waits when the clock has gone back", () => {
    expect(nextWave(state(staggered, [0]), nothing, after(-600))).toMatchObject({
      kind: "due",
      at: after(5),
    });
  });
});

describe("by what became of the wave before", () => {
  it.for([
    [{ succeeded: 9, failed: 0 }, "finished_vehicles"],
    [{ succeeded: 0, failed: 9 }, "finished_vehicles"],
    [{ succeeded: 8, failed: 2 }, "fewer_failures"],
    [{ succeeded: 0, failed: 10 }, "fewer_failures"],
  ] as const)("%o holds it back: %s", ([before, waits_for]) => {
    expect(nextWave(state(gated, [0]), before, after(500))).toEqual({
      kind: "gated",
      wave: 1,
      waits_for,
    });
  });

  const good = { succeeded: 9, failed: 1 };

  it("begins to soak when it is met, at the allowed part exactly", () => {
    expect(nextWave(state(gated, [0]), good, after(20))).toEqual({
      kind: "due",
      wave: 1,
      at: after(50),
      gate_met_at: after(20),
    });
  });

  it("takes the allowed part as it is written", () => {
    const [first] = gated;
    const waves = [
      first ?? { share: 10 },
      { share: 90, gate: { ...gate, max_failure_rate: 0.29, soak_min: 0 } },
    ];
    const before = { succeeded: 71, failed: 29 };
    expect(nextWave(state(waves, [0]), before, after(1))).toEqual({ kind: "open", wave: 1 });
  });

  it("opens when it has held for as long as it has to", () => {
    const soaking = state(gated, [0], 20);
    expect(nextWave(soaking, good, after(49.9))).toMatchObject({ kind: "due", at: after(50) });
    expect(nextWave(soaking, good, after(50))).toEqual({ kind: "open", wave: 1 });
  });

  it("begins anew when it has not held in between", () => {
    const bad = { succeeded: 9, failed: 2 };
    expect(nextWave(state(gated, [0], 20), bad, after(40))).toMatchObject({ kind: "gated" });
    expect(nextWave(state(gated, [0]), good, after(60))).toMatchObject({ at: after(90) });
  });

  it("opens at once where nothing has to hold for a while", () => {
    const [first] = gated;
    const waves: Wave[] = [first ?? { share: 10 }, { share: 90, gate: { ...gate, soak_min: 0 } }];
    expect(nextWave(state(waves, [0]), good, after(1))).toEqual({ kind: "open", wave: 1 });
  });
});
