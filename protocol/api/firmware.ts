import Type, { type Static } from "typebox";
import {
  Channel,
  EcuType,
  HardwareVersion,
  Sha256,
  Timestamp,
  Uuid,
  Version,
} from "./identifier.ts";

const HardwareVersions = Type.Array(HardwareVersion, {
  minItems: 1,
  maxItems: 64,
  uniqueItems: true,
  description: "Hardware versions that the image runs on",
});
/** Without U+0000, which a form can carry and a database can't. */
const ReleaseNotes = Type.String({ maxLength: 10_000, pattern: "^[^\\u0000]*$" });

/** What an operator says of an image; sent before or after the file in the multipart form. */
export const FirmwareMetadata = Type.Object(
  {
    ecu_type: EcuType,
    version: Version,
    hardware_versions: HardwareVersions,
    channel: Channel,
    min_current_version: Type.Optional(Version),
    critical: Type.Boolean({ default: false }),
    release_notes: Type.Optional(ReleaseNotes),
  },
  { additionalProperties: false },
);
export type FirmwareMetadata = Static<typeof FirmwareMetadata>;

export const FirmwarePatch = Type.Object(
  {
    channel: Type.Optional(Channel),
    hardware_versions: Type.Optional(HardwareVersions),
    min_current_version: Type.Optional(Type.Union([Version, Type.Null()])),
    critical: Type.Optional(Type.Boolean()),
    release_notes: Type.Optional(Type.Union([ReleaseNotes, Type.Null()])),
  },
  { minProperties: 1, additionalProperties: false },
);
export type FirmwarePatch = Static<typeof FirmwarePatch>;

export const FirmwareStatus = Type.Union([Type.Literal("active"), Type.Literal("archived")]);

/** Whether signed targets of the image repository name the image: vehicles take no other. */
export const Publication = Type.Union([
  Type.Literal("published"),
  Type.Literal("awaiting_signature"),
]);
export type Publication = Static<typeof Publication>;

export const Firmware = Type.Object({
  firmware_id: Uuid,
  ecu_type: EcuType,
  version: Version,
  hardware_versions: HardwareVersions,
  channel: Channel,
  min_current_version: Type.Union([Version, Type.Null()]),
  critical: Type.Boolean(),
  release_notes: Type.Union([ReleaseNotes, Type.Null()]),
  status: FirmwareStatus,
  publication: Publication,
  size: Type.Integer({ description: "Bytes of the image" }),
  sha256: Sha256,
  compressed_size: Type.Integer({ description: "Bytes to download" }),
  compressed_sha256: Sha256,
  created_at: Timestamp,
});
export type Firmware = Static<typeof Firmware>;
