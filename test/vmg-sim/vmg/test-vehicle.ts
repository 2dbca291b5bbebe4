import pino from "pino";
import { onTestFinished } from "vitest";
import { loadVehicleConfig, type VehicleConfig } from "#config/vehicle.ts";
import { testFolder } from "#test/helpers/folder.ts";
import type { TestGateway } from "#test/helpers/gateway.ts";
import type { EcuBehaviour } from "#vmg-sim/ecu/behaviour.ts";
import { provisionVehicle, type Provisioning } from "#vmg-sim/provision.ts";
import { startVehicle, type SimulatedVehicle } from "#vmg-sim/vehicle.ts";
import type { AgentEvent } from "#vmg-sim/vmg/event.ts";
import type { Pace } from "#vmg-sim/vmg/pace.ts";

export interface TestVehicle extends SimulatedVehicle {
  events: AgentEvent[];
  /** Resolves with the first event, past or to come, that fits. */
  event<Type extends AgentEvent["type"]>(
    type: Type,
    fits?: (event: Extract<AgentEvent, { type: Type }>) => boolean,
  ): Promise<Extract<AgentEvent, { type: Type }>>;
  /** Software versions of the ECUs, straight from the hardware. */
  versions(): Record<string, string>;
}

export interface TestVehicleOptions {
  vin: string;
  autoUpdate?: boolean;
  behaviours?: Record<string, EcuBehaviour>;
  stateDir?: string;
  provisioning?: (made: Provisioning) => Provisioning;
  config?: Partial<VehicleConfig>;
  pace?: Pace;
}

/** Settings of a vehicle that is not slowed down by its own patience. */
function testVehicleConfig(gateway: TestGateway, vin: string, stateDir: string) {
  const config = loadVehicleConfig({});
  const backoff = { backoff_ms: 20, max_backoff_ms: 200 };
  return {
    ...config,
    vehicle: { id: vin, model: "Test", region: "", time_zone: "Europe/Berlin" },
    state_dir: stateDir,
    certs_dir: gateway.config.certs_dir,
    gateway: {
      ...config.gateway,
      ...backoff,
      https_url: gateway.url,
      mqtt_url: `mqtts://localhost:${gateway.app.ports.mqtt}`,
    },
    download: { retries: 20, ...backoff },
    health_check: { retries: 2, interval_ms: 10 },
  };
}

/** A whole vehicle at a test's gateway; it goes when the running test ends. */
export async function testVehicle(
  gateway: TestGateway,
  { vin, autoUpdate = false, behaviours, stateDir, ...options }: TestVehicleOptions,
): Promise<TestVehicle> {
  const config = {
    ...testVehicleConfig(gateway, vin, stateDir ?? testFolder()),
    auto_update: autoUpdate,
    ...options.config,
  };
  const events: AgentEvent[] = [];
  const watchers = new Set<() => void>();
  const made = await provisionVehicle(config.certs_dir, vin, config.tls.profile);
  const vehicle = await startVehicle({
    config,
    provisioning: options.provisioning?.(made) ?? made,
    log: pino({ level: "silent" }),
    ...(behaviours && { behaviours }),
    ...(options.pace && { pace: options.pace }),
    onEvent(event) {
      events.push(event);
      for (const look of watchers) look();
    },
  });
  onTestFinished(() => vehicle.stop());
  return {
    ...vehicle,
    events,
    event: (type, fits = () => true) =>
      new Promise((resolve) => {
        const look = () => {
          const found = events.find(
            (event): event is Extract<AgentEvent, { type: typeof type }> =>
              event.type === type && fits(event as Extract<AgentEvent, { type: typeof type }>),
          );
          if (!found) return;
          watchers.delete(look);
          resolve(found);
        };
        watchers.add(look);
        look();
      }),
    versions: () =>
      Object.fromEntries(
        vehicle.hardware.zones.flatMap(({ ecus }) =>
          ecus.map((ecu) => [ecu.ecu_id, ecu.software_version]),
        ),
      ),
  };
}
