import { join } from "node:path";
import type { Logger } from "pino";
import type { VehicleConfig } from "#config/vehicle.ts";
import type { EcuBehaviour } from "#vmg-sim/ecu/behaviour.ts";
import { startAgent, type Agent } from "#vmg-sim/vmg/agent.ts";
import { vehicleConditions, type VehicleConditions } from "#vmg-sim/vmg/vehicle-conditions.ts";
import type { AgentEvent } from "#vmg-sim/vmg/event.ts";
import type { Pace } from "#vmg-sim/vmg/pace.ts";
import { connector, testerTrust } from "./connector.ts";
import { startHardware, type Hardware } from "./hardware.ts";
import type { Provisioning } from "./provision.ts";

const CONNECTOR_TAKEN =
  "the vehicle has no diagnostic connector: a port of it is taken; others by VMG_DOIP_EDGE_PORT and VMG_DOIP_EDGE_TLS_PORT";

export interface VehicleOptions {
  /** With `vehicle.id` of this very vehicle. */
  config: VehicleConfig;
  provisioning: Provisioning;
  log: Logger;
  onEvent?: (event: AgentEvent) => void;
  /** Whether testers can be connected to the vehicle itself; by default none can. */
  hasConnector?: boolean;
  /** Faults, by ECU id. */
  behaviours?: Readonly<Record<string, EcuBehaviour>>;
  pace?: Pace;
}

/** A whole vehicle: ECUs, zonal gateways and the VMG. */
export interface SimulatedVehicle {
  vin: string;
  /** Folder of its state. */
  folder: string;
  hardware: Hardware;
  agent: Agent;
  /** What it is doing: to park it, or to drive it away. */
  conditions: VehicleConditions;
  stop(): Promise<void>;
}

/**
 * Switches a vehicle on: its hardware, then its VMG. What it remembers lies in
 * `{state_dir}/{vehicle id}`.
 */
export async function startVehicle(options: VehicleOptions): Promise<SimulatedVehicle> {
  const { config, provisioning, log, onEvent, behaviours, pace } = options;
  const vin = config.vehicle.id;
  const folder = join(config.state_dir, vin);
  const hardware = await startHardware({
    vin,
    zones: config.zones.map((zone) => ({
      ...zone,
      ecus: zone.ecus.map((ecu) => ({
        ...ecu,
        serial_number: `${vin}-${ecu.ecu_id}`,
        security: { secrets: config.uds.security_secrets },
        definition: config.definitions[ecu.ecu_type],
      })),
    })),
    ...(options.hasConnector && {
      edge: connector(config.doip.edge, vin, provisioning.diagnostics),
    }),
    ...(provisioning.diagnostics && {
      authentication: testerTrust(config.uds.authentication, provisioning.diagnostics, pace),
    }),
    stateFolder: join(folder, "ecus"),
    ...(behaviours && { behaviours }),
    ...(provisioning.roots && {
      trust: { root: provisioning.roots.director, ...(pace && { now: () => pace.now() }) },
    }),
    onFault(ecu_id, error) {
      if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") {
        log.warn({ err: error }, CONNECTOR_TAKEN);
      } else log.error({ ecu_id, err: error }, "an ECU failed");
    },
  });
  const conditions = vehicleConditions(config.vehicle_conditions);
  try {
    const agent = await startAgent({
      config,
      conditions,
      folder: join(folder, "vmg"),
      zones: hardware.zones,
      ...provisioning,
      log,
      ...(onEvent && { onEvent }),
      ...(pace && { pace }),
    });
    const stop = async () => {
      await agent.stop();
      await hardware.stop();
    };
    return { vin, folder, hardware, agent, conditions, stop };
  } catch (error) {
    await hardware.stop();
    throw error;
  }
}
