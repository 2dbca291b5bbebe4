import Type, { type Static } from "typebox";
import { Channel, EcuType, Version } from "./identifier.ts";
import { VehicleStatus } from "./vehicle.ts";

const vehicles = Type.Integer({ minimum: 0 });

/** How many versions of ECUs are told. */
export const MAX_FLEET_VERSIONS = 1000;

/** The fleet as it is, in numbers. */
export const FleetStatistics = Type.Object({
  vehicles,
  by_status: Type.Array(Type.Object({ status: VehicleStatus, vehicles })),
  by_channel: Type.Array(Type.Object({ channel: Channel, vehicles })),
  by_profile: Type.Array(
    Type.Object({
      profile: Type.Union([Type.Integer({ minimum: 0, maximum: 12 }), Type.Null()]),
      vehicles,
    }),
    { description: "By the TLS profile of the last connection; null: none is known" },
  ),
  versions: Type.Array(
    Type.Object({
      ecu_type: EcuType,
      software_version: Version,
      ecus: Type.Integer({ minimum: 1 }),
    }),
    {
      description: `What ECUs run by the newest VCIs; the ${MAX_FLEET_VERSIONS} that most run, by type`,
    },
  ),
});
export type FleetStatistics = Static<typeof FleetStatistics>;
