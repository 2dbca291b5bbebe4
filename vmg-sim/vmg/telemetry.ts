import type { Logger } from "pino";
import type { Heartbeat } from "#protocol/mqtt/heartbeat.ts";
import type { Telemetry } from "#protocol/mqtt/telemetry.ts";
import { Did } from "#protocol/uds/did.ts";
import { readDid } from "./read-did.ts";
import type { Pace } from "./pace.ts";
import type { VehicleConditions } from "./vehicle-conditions.ts";
import type { VehicleNetwork } from "./vehicle-network.ts";

/** A signal that wanders about its mean: it is drawn back a little and pushed at random. */
interface Wandering {
  mean: number;
  /** Share of the distance to the mean that is lost with each sample. */
  pull: number;
  push: number;
  min: number;
  max: number;
}

const wandering = {
  speed: { mean: 62, pull: 0.05, push: 3, min: 0, max: 180 },
  temp: { mean: 34, pull: 0.03, push: 0.4, min: -30, max: 95 },
  /** What is added to the supply's voltage. */
  ripple: { mean: 0, pull: 0.1, push: 0.06, min: -0.3, max: 0.3 },
  outside_temp: { mean: 18, pull: 0.02, push: 0.15, min: -25, max: 45 },
} as const satisfies Record<string, Wandering>;

export interface DriveSample {
  battery_soc: number;
  odometer_km: number;
  speed: number;
  temp: number;
  battery_voltage: number;
  outside_temp: number;
}

/**
 * A drive that goes on for ever, or a vehicle that stands, as its conditions say: smooth, within
 * plausible limits, and the same for the same randomness. `next` moves on by so many seconds, and the
 * conditions with it.
 */
export function simulatedDrive(
  random: () => number,
  conditions: VehicleConditions,
): { next(seconds: number): DriveSample } {
  const names = Object.keys(wandering) as (keyof typeof wandering)[];
  const values = new Map(
    names.map((name) => [name, wandering[name].mean + wandering[name].push * centred(random)]),
  );
  let odometer = 1000 + random() * 60_000;
  return {
    next(seconds) {
      const { gear, speed_kmh, voltage } = conditions.current;
      values.set("speed", speed_kmh);
      for (const name of names) {
        const { mean, pull, push, min, max } = wandering[name];
        const value = values.get(name) ?? mean;
        const moved = value + pull * (mean - value) + push * centred(random);
        values.set(name, Math.min(Math.max(moved, min), max));
      }
      if (gear === "P") values.set("speed", 0);
      conditions.set({ speed_kmh: values.get("speed") ?? 0 });
      const distance = ((values.get("speed") ?? 0) * seconds) / 3600;
      odometer += distance;
      // 0.2 percent a kilometre; the simulated driver charges at 15 percent.
      const used = conditions.current.battery_soc - distance * 0.2;
      const charge = distance > 0 && used < 15 ? 90 : used;
      conditions.set({ battery_soc: charge });
      const rounded = (name: keyof typeof wandering, digits: number) =>
        round(values.get(name) ?? 0, digits);
      return {
        battery_soc: round(Math.min(Math.max(charge + 0.05 * centred(random), 0), 100), 2),
        odometer_km: round(odometer, 3),
        speed: rounded("speed", 1),
        temp: rounded("temp", 1),
        battery_voltage: round(voltage + (values.get("ripple") ?? 0), 2),
        outside_temp: rounded("outside_temp", 1),
      };
    },
  };
}

export interface TelemetryDeps {
  network: VehicleNetwork;
  conditions: VehicleConditions;
  pace: Pace;
  log: Logger;
}

/**
 * Takes samples: the simulated drive, and the supply voltage and temperature of each ECU as far as
 * they answer. ECUs for which `isBusy` are left alone.
 */
export function telemetrySampler(
  { network, conditions, pace, log }: TelemetryDeps,
  isBusy: (ecuId: string) => boolean,
): (seconds: number, signal: AbortSignal) => Promise<Telemetry> {
  const drive = simulatedDrive(pace.random, conditions);
  const signals = [
    ["supply_mv", Did.supplyVoltage],
    ["temp", Did.temperature],
  ] as const;
  return async (seconds, signal) => {
    const sample: Telemetry = { ts: pace.now().toISOString(), ...drive.next(seconds) };
    const ecus = network.ecus.filter(({ ecu_id }) => !isBusy(ecu_id)).slice(0, MAX_SAMPLED_ECUS);
    await Promise.all(
      ecus.map(async (ecu) => {
        try {
          for (const [name, did] of signals) {
            sample[`${ecu.ecu_id}.${name}`] = await readDid(ecu, did, signal);
          }
        } catch (error) {
          signal.throwIfAborted();
          log.debug({ err: error, ecu_id: ecu.ecu_id }, "no telemetry of an ECU");
        }
      }),
    );
    return sample;
  };
}

/** A sample carries at most 64 signals. */
const MAX_SAMPLED_ECUS = 24;

/** What a sign of life tells of updates. */
export interface UpdateState {
  state: string;
  versions: ReadonlyMap<string, string>;
  /** When the last update ended; undefined: there was none. */
  lastUpdateAt: string | undefined;
}

/** A sign of life. @param freeStorage in bytes */
export function heartbeat(
  pace: Pace,
  freeStorage: number,
  { state, versions, lastUpdateAt }: UpdateState,
): Heartbeat {
  return {
    ts: pace.now().toISOString(),
    state,
    versions: Object.fromEntries(versions),
    free_storage_bytes: freeStorage,
    ...(lastUpdateAt !== undefined && { last_update_at: lastUpdateAt }),
    uptime_s: Math.round(process.uptime()),
  };
}

/** From -1 to 1, around 0 more often than far from it. */
function centred(random: () => number): number {
  return random() + random() - 1;
}

function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}
