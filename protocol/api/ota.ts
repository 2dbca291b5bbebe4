import Type, { type Static } from "typebox";
import {
  EcuId,
  EcuType,
  HardwareVersion,
  Timestamp,
  Uuid,
  VehicleId,
  Version,
  ZoneId,
} from "./identifier.ts";
import { PolicyAnswer } from "./policy.ts";

/** Why an ECU gets nothing although something newer than its version exists, or may exist. */
export const blockedReasons = {
  NO_FIRMWARE_FOR_TYPE: "nothing is published for this ECU type",
  NO_FIRMWARE_FOR_HARDWARE: "newer firmware exists, but none for this hardware version",
  CHANNEL_NOT_ALLOWED: "newer firmware exists only on a channel this vehicle does not follow",
  CAMPAIGN_ONLY: "newer firmware is offered by campaigns only",
  STEP_MISSING: "newer firmware needs an intermediate version that is not published",
  REQUIREMENT_UNMET: "newer firmware needs a version of another ECU that this one can't come to",
  REQUIREMENT_ABSENT: "newer firmware needs an ECU that the vehicle does not have",
} as const;
export type BlockedReason = keyof typeof blockedReasons;

/** Why an ECU does not get one certain release. */
export const notOfferedReasons = {
  ...blockedReasons,
  NEWER_OFFERED: "a newer release is offered instead",
  NOT_NEEDED: "the plan is for other releases, which do not need this one",
  OTHER_BUILD_INSTALLED: "another build of the same version is installed",
} as const;
export type NotOfferedReason = keyof typeof notOfferedReasons;

const OutdatedEcu = Type.Object({
  ecu_id: EcuId,
  zone_id: ZoneId,
  current_version: Version,
  target_version: Version,
  newest_version: Type.Optional(Version),
  firmware_id: Uuid,
  size: Type.Integer({ description: "Bytes to download (compressed)" }),
  critical: Type.Boolean(),
});

const BlockedEcu = Type.Object({
  ecu_id: EcuId,
  reason: Type.Enum(Object.keys(blockedReasons) as BlockedReason[]),
  detail: Type.String(),
});

const HeldEcu = Type.Object({ ...BlockedEcu.properties, newest_version: Version });

/** What a vehicle may install now, and why the rest is held back. */
export const CheckAnswer = Type.Object({
  campaign_id: Type.Optional(Uuid),
  outdated_ecus: Type.Array(OutdatedEcu, {
    description: "To install now, all of it together, in install order",
  }),
  later: Type.Optional(
    Type.Array(Type.Array(OutdatedEcu), {
      description: "What comes after, each bundle once a VCI has confirmed the one before",
    }),
  ),
  blocked: Type.Array(BlockedEcu, {
    description: "ECUs that get nothing although something newer exists, or may exist",
  }),
  held: Type.Optional(
    Type.Array(HeldEcu, { description: "ECUs that get something, but not the newest version" }),
  ),
  policy: Type.Optional(PolicyAnswer),
});
export type CheckAnswer = Static<typeof CheckAnswer>;

export const VciAnswer = Type.Object({ vci_id: Uuid, ...CheckAnswer.properties });
export type VciAnswer = Static<typeof VciAnswer>;

/** A version list to compare with the catalogue; nothing of it is stored. */
export const CheckRequest = Type.Object(
  {
    vin: VehicleId,
    ecus: Type.Optional(
      Type.Array(
        Type.Object({
          ecu_id: EcuId,
          zone_id: ZoneId,
          ecu_type: EcuType,
          hardware_version: HardwareVersion,
          software_version: Version,
        }),
        { minItems: 1, maxItems: 256, description: "As the newest VCI says by default" },
      ),
    ),
  },
  {
    examples: [
      {
        vin: "VMG-001",
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

export const PackageRequest = Type.Object(
  {
    vin: VehicleId,
    ecu_ids: Type.Optional(
      Type.Array(EcuId, {
        minItems: 1,
        maxItems: 256,
        description: "Only these; all outdated by default",
      }),
    ),
    /** That the vehicle carries out. */
    command_id: Type.Optional(Uuid),
  },
  { examples: [{ vin: "VMG-001" }] },
);

export const PackageAnswer = Type.Object({
  package_id: Type.String(),
  update_id: Uuid,
  download_url: Type.String({ description: "Path on this gateway" }),
  size: Type.Integer(),
  checksum: Type.String({ examples: ["sha256:…"] }),
  expires_at: Timestamp,
  zones: Type.Array(
    Type.Object({
      zone_id: ZoneId,
      offset: Type.Integer({ description: "First byte of the zone's part of the package" }),
      length: Type.Integer(),
      ecus: Type.Array(
        Type.Object({
          ecu_id: EcuId,
          current_version: Version,
          target_version: Version,
          firmware_id: Uuid,
        }),
      ),
    }),
  ),
});
export type PackageAnswer = Static<typeof PackageAnswer>;
