import Type, { type Static } from "typebox";
import { VehicleManifest } from "#protocol/uptane/vehicle-manifest.ts";
import {
  EcuId,
  EcuType,
  HardwareVersion,
  Timestamp,
  VehicleId,
  Version,
  ZoneId,
} from "./identifier.ts";
import { ProblemError } from "./problem.ts";

const LogicalAddress = Type.Integer({
  minimum: 1,
  maximum: 0xffff,
  description: "DoIP logical address",
});

export const VciEcu = Type.Object({
  ecu_id: EcuId,
  zone_id: ZoneId,
  ecu_type: EcuType,
  hardware_version: HardwareVersion,
  software_version: Version,
  serial_number: Type.Optional(Type.String({ maxLength: 64 })),
  bootloader_version: Type.Optional(Type.String({ maxLength: 64 })),
  supplier: Type.Optional(Type.String({ maxLength: 64 })),
  logical_address: Type.Optional(LogicalAddress),
});
export type VciEcu = Static<typeof VciEcu>;

/** Vehicle Configuration Information: which ECUs a vehicle has, where, with which versions. */
export const Vci = Type.Object(
  {
    vin: Type.Optional(VehicleId),
    collected_at: Type.Optional(Timestamp),
    reason: Type.Optional(
      Type.String({
        maxLength: 64,
        description: "Why it was sent: power_on, after_update, requested",
      }),
    ),
    zones: Type.Array(
      Type.Object({ zone_id: ZoneId, logical_address: Type.Optional(LogicalAddress) }),
      { minItems: 1, maxItems: 64 },
    ),
    ecus: Type.Array(VciEcu, { minItems: 1, maxItems: 256 }),
    manifest: Type.Optional(VehicleManifest),
  },
  {
    examples: [
      {
        vin: "VMG-001",
        collected_at: "2026-01-19T10:07:00Z",
        reason: "power_on",
        zones: [{ zone_id: "ZG-FRONT" }],
        ecus: [
          {
            ecu_id: "ECU_001",
            zone_id: "ZG-FRONT",
            ecu_type: "brake-controller",
            hardware_version: "HW-1.0",
            software_version: "1.2.0",
          },
        ],
      },
    ],
  },
);
export type Vci = Static<typeof Vci>;

/**
 * Checks what a schema can't say of a VCI: unique ids, and a listed zone for every ECU.
 * @throws ProblemError VCI_DUPLICATE_ZONE, VCI_DUPLICATE_ECU, VCI_ZONE_UNKNOWN
 */
export function checkVci(vci: Vci): void {
  const zones = new Set<string>();
  for (const { zone_id } of vci.zones) {
    if (zones.has(zone_id)) throw new ProblemError("VCI_DUPLICATE_ZONE", `zone ${zone_id}`);
    zones.add(zone_id);
  }
  const ecus = new Set<string>();
  for (const { ecu_id, zone_id } of vci.ecus) {
    if (ecus.has(ecu_id)) throw new ProblemError("VCI_DUPLICATE_ECU", `ECU ${ecu_id}`);
    ecus.add(ecu_id);
    if (!zones.has(zone_id)) {
      throw new ProblemError("VCI_ZONE_UNKNOWN", `ECU ${ecu_id} names zone ${zone_id}`);
    }
  }
}
