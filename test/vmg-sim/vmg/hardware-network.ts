import { onTestFinished } from "vitest";
import { loadVehicleConfig } from "#config/vehicle.ts";
import { systemClock, type Clock } from "#protocol/doip/clock.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { startHardware, type Hardware } from "#vmg-sim/hardware.ts";
import type { EcuBehaviour } from "#vmg-sim/ecu/behaviour.ts";
import { createUdsLink } from "#vmg-sim/vmg/uds-link.ts";
import { vehicleNetwork, type VehicleNetwork } from "#vmg-sim/vmg/vehicle-network.ts";

/** The ECUs and zonal gateways of `config/vehicle.yaml`, as the VMG reaches them. */
export async function hardwareNetwork(
  vin: string,
  behaviours: Record<string, EcuBehaviour> = {},
  clock: Clock = systemClock,
): Promise<{ hardware: Hardware; network: VehicleNetwork }> {
  const { zones } = loadVehicleConfig({});
  const hardware = await startHardware({
    vin,
    zones: zones.map((zone) => ({
      ...zone,
      ecus: zone.ecus.map((ecu) => ({ ...ecu, serial_number: `SN-${ecu.ecu_id}` })),
    })),
    stateFolder: testFolder(),
    behaviours,
    clock,
  });
  const timing = { p2Ms: 150, totalMs: 2000 };
  const network = vehicleNetwork(
    hardware.zones.map(({ host, port, ...zone }) => ({
      ...zone,
      link: createUdsLink({ host, port, timing, clock }),
    })),
  );
  onTestFinished(async () => {
    for (const zone of network.zones) zone.link.close();
    await hardware.stop();
  });
  return { hardware, network };
}
