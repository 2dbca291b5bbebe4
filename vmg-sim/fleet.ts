import type { Logger } from "pino";
import type { VehicleConfig } from "#config/vehicle.ts";
import type { AgentEvent } from "#vmg-sim/vmg/event.ts";
import { provisionVehicle } from "./provision.ts";
import { startVehicle, type SimulatedVehicle } from "./vehicle.ts";

export interface FleetOptions {
  config: VehicleConfig;
  /** The vehicles' ids. */
  vins: readonly string[];
  log: Logger;
  onEvent?: (vin: string, event: AgentEvent) => void;
  onStarted?: (vehicle: SimulatedVehicle) => void;
}

/** Many vehicles in one process. */
export interface Fleet {
  vehicles: readonly SimulatedVehicle[];
  stop(): Promise<void>;
}

/** Vehicles that start, or stop, at the same time. */
const AT_ONCE = 8;

/**
 * Provisions and starts vehicles, a few at a time.
 * @throws ProvisioningError, PkiError; nothing is left running then
 */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const { config, vins, log, onEvent, onStarted } = options;
  const vehicles: SimulatedVehicle[] = [];
  const stop = () => eachOf(vehicles.splice(0), (vehicle) => vehicle.stop());
  const start = async (vin: string) => {
    const vehicle = await startVehicle({
      config: { ...config, vehicle: { ...config.vehicle, id: vin } },
      provisioning: await provisionVehicle(config.certs_dir, vin, config.tls.profile, config.trust),
      log: log.child({ vehicle: vin }),
      hasConnector: vin === vins[0],
      ...(onEvent && { onEvent: (event: AgentEvent) => onEvent(vin, event) }),
    });
    vehicles.push(vehicle);
    onStarted?.(vehicle);
  };
  try {
    await eachOf(vins, start);
    return { vehicles, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** `VMG-001`, `VMG-002`, … counting on from the id's own number; `PREFIX-0001`, … for a prefix. */
export function fleetIds(first: string, count: number, prefix?: string): string[] {
  if (prefix !== undefined) {
    return Array.from({ length: count }, (_, i) => `${prefix}-${String(i + 1).padStart(4, "0")}`);
  }
  const [, stem = first, digits] = /^(.*?)(\d+)$/.exec(first) ?? [];
  if (count === 1) return [first];
  return Array.from({ length: count }, (_, i) =>
    digits === undefined
      ? `${stem}-${String(i + 1).padStart(3, "0")}`
      : stem + String(Number(digits) + i).padStart(digits.length, "0"),
  );
}

/** Waits for all work that has begun, also when some of it fails. */
async function eachOf<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  let failed: { error: unknown } | undefined;
  const worker = async () => {
    for (const item of queue) {
      if (failed) return;
      await work(item).catch((error: unknown) => {
        failed ??= { error };
      });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  if (failed) throw failed.error;
}
