import type { UdsLink } from "./uds-link.ts";

/** One zonal gateway as the VMG reaches it, with what is known of its ECUs. */
export interface NetworkZone {
  zone_id: string;
  logical_address: number;
  functional_address: number;
  link: UdsLink;
  ecus: readonly { ecu_id: string; logical_address: number }[];
}

export interface NetworkEcu {
  ecu_id: string;
  zone_id: string;
  logical_address: number;
  link: UdsLink;
}

/** The vehicle's own network, by the ids that the gateway uses. */
export interface VehicleNetwork {
  readonly zones: readonly NetworkZone[];
  readonly ecus: readonly NetworkEcu[];
  findEcu(ecuId: string): NetworkEcu | undefined;
  findZone(zoneId: string): NetworkZone | undefined;
}

export function vehicleNetwork(zones: readonly NetworkZone[]): VehicleNetwork {
  const ecus = zones.flatMap(({ zone_id, link, ecus }) =>
    ecus.map(({ ecu_id, logical_address }) => ({ ecu_id, zone_id, logical_address, link })),
  );
  const byEcu = new Map(ecus.map((ecu) => [ecu.ecu_id, ecu]));
  const byZone = new Map(zones.map((zone) => [zone.zone_id, zone]));
  return {
    zones,
    ecus,
    findEcu: (ecuId) => byEcu.get(ecuId),
    findZone: (zoneId) => byZone.get(zoneId),
  };
}
