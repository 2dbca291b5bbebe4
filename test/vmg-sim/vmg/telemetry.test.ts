import pino from "pino";
import { Compile } from "typebox/compile";
import { describe, expect, it } from "vitest";
import { loadVehicleConfig } from "#config/vehicle.ts";
import { loadServerConfig } from "#config/server.ts";
import { Heartbeat } from "#protocol/mqtt/heartbeat.ts";
import { Telemetry } from "#protocol/mqtt/telemetry.ts";
import { heartbeat, simulatedDrive, telemetrySampler } from "#vmg-sim/vmg/telemetry.ts";
import { vehicleConditions } from "#vmg-sim/vmg/vehicle-conditions.ts";
import { hardwareNetwork } from "./hardware-network.ts";
import { stillPace } from "./still-pace.ts";

/** A small generator with a seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const doing = (drive: "parked" | "driving") =>
  vehicleConditions({ ...loadVehicleConfig({}).vehicle_conditions, drive, battery_soc: 60 });

describe("telemetry", () => {
  it("stays within what the gateway takes for normal, and never jumps", () => {
    const { limits } = loadServerConfig({}).telemetry;
    for (let seed = 1; seed <= 20; seed++) {
      const drive = simulatedDrive(seeded(seed), doing("driving"));
      let before = drive.next(5);
      for (let i = 0; i < 500; i++) {
        const sample = drive.next(5);
        for (const [signal, { min = -Infinity, max = Infinity }] of Object.entries(limits)) {
          const value = sample[signal as keyof typeof sample];
          expect(value).toBeGreaterThanOrEqual(min);
          expect(value).toBeLessThanOrEqual(max);
        }
        expect(Math.abs(sample.speed - before.speed)).toBeLessThan(10);
        expect(sample.odometer_km).toBeGreaterThanOrEqual(before.odometer_km);
        before = sample;
      }
    }
  });

  it("is the same for the same randomness", () => {
    const [a, b] = [1, 2].map(() => simulatedDrive(seeded(7), doing("driving")));
    for (let i = 0; i < 10; i++) expect(a?.next(5)).toEqual(b?.next(5));
  });

  it("stands still while it is parked, and tells the conditions how fast it is", () => {
    const conditions = doing("parked");
    const drive = simulatedDrive(seeded(3), conditions);
    const parked = [drive.next(5), drive.next(5)];
    expect(parked.map(({ speed }) => speed)).toEqual([0, 0]);
    expect(parked[0]?.odometer_km).toBe(parked[1]?.odometer_km);
    conditions.set({ gear: "D" });
    const { speed } = drive.next(5);
    expect(speed).toBeGreaterThan(0);
    expect(conditions.current.speed_kmh).toBeCloseTo(speed, 0);
    conditions.set({ gear: "P", voltage: 9 });
    expect(drive.next(5)).toMatchObject({ speed: 0, battery_voltage: expect.closeTo(9, 0) });
    expect(conditions.current.speed_kmh).toBe(0);
  });

  it("adds what the ECUs measure, but leaves those alone that are busy or silent", async () => {
    const { network } = await hardwareNetwork("VMG-001", { ECU_002: { silent: true } });
    const pace = stillPace(seeded(1));
    const deps = { network, conditions: doing("parked"), pace, log: pino({ level: "silent" }) };
    const sample = telemetrySampler(deps, (ecuId) => ecuId === "ECU_003");
    const taken = await sample(5, new AbortController().signal);
    expect(Compile(Telemetry).Errors(taken)).toEqual([]);
    const ecus = Object.keys(taken).filter((name) => name.includes("."));
    expect(ecus.toSorted()).toEqual([
      "ECU_001.supply_mv",
      "ECU_001.temp",
      "ECU_004.supply_mv",
      "ECU_004.temp",
    ]);
  });

  it("makes a heartbeat that the gateway takes", async () => {
    const versions = new Map([["ECU_001", "1.0.0"]]);
    const lastUpdateAt = "2026-01-19T10:07:00.000Z";
    const beat = heartbeat(stillPace(), 5_000_000_000, { state: "idle", versions, lastUpdateAt });
    expect(Compile(Heartbeat).Errors(beat)).toEqual([]);
    expect(beat).toMatchObject({
      state: "idle",
      versions: { ECU_001: "1.0.0" },
      last_update_at: lastUpdateAt,
    });
  });
});
