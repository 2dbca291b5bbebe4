import type { VehicleConfig } from "#config/vehicle.ts";

/** What the vehicle is doing, as far as it decides whether the vehicle may be touched. */
export interface Conditions {
  speed_kmh: number;
  gear: "P" | "R" | "N" | "D";
  /** Of the low-voltage supply. */
  voltage: number;
  /** Whether the driver has agreed to remote diagnostics. */
  driver_consent: boolean;
}

/** The conditions of one vehicle: the simulated drive moves them on, the interlocks look at them. */
export interface VehicleConditions {
  readonly current: Readonly<Conditions>;
  set(change: Partial<Conditions>): void;
}

const CRUISE_KMH = 62;

/** Begins as the configuration says. */
export function vehicleConditions({
  drive,
  voltage,
  driver_consent,
}: VehicleConfig["vehicle_conditions"]): VehicleConditions {
  let current: Conditions =
    drive === "driving"
      ? { speed_kmh: CRUISE_KMH, gear: "D", voltage, driver_consent }
      : { speed_kmh: 0, gear: "P", voltage, driver_consent };
  return {
    get current() {
      return current;
    },
    set(change) {
      current = { ...current, ...change };
    },
  };
}
