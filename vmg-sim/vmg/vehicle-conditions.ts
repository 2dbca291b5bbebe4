import type { VehicleConfig } from "#config/vehicle.ts";

/** What the vehicle is doing, as far as it decides whether the vehicle may be touched. */
export interface Conditions {
  speed_kmh: number;
  gear: "P" | "R" | "N" | "D";
  /** Of the low-voltage supply. */
  voltage: number;
  /** Whether the driver has agreed to remote diagnostics. */
  driver_consent: boolean;
  /** Whether the driver has agreed to updates. */
  update_consent: boolean;
  /** Charge of the traction battery, in percent. */
  battery_soc: number;
  /** Room for packages, in bytes; null: as much as there is. */
  free_storage_bytes: number | null;
}

/** The conditions of one vehicle: the simulated drive moves them on, the interlocks look at them. */
export interface VehicleConditions {
  readonly current: Readonly<Conditions>;
  set(change: Partial<Conditions>): void;
}

const CRUISE_KMH = 62;

/** Begins as the configuration says, with some charge where it says none. */
export function vehicleConditions(
  { drive, battery_soc, ...said }: VehicleConfig["vehicle_conditions"],
  random: () => number = Math.random,
): VehicleConditions {
  const charged = { ...said, battery_soc: battery_soc ?? Math.round(55 + random() * 40) };
  let current: Conditions =
    drive === "driving"
      ? { speed_kmh: CRUISE_KMH, gear: "D", ...charged }
      : { speed_kmh: 0, gear: "P", ...charged };
  return {
    get current() {
      return current;
    },
    set(change) {
      current = { ...current, ...change };
    },
  };
}
