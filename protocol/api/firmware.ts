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
import { SbomSummary } from "./sbom.ts";

const HardwareVersions = Type.Array(HardwareVersion, {
  minItems: 1,
  maxItems: 64,
  uniqueItems: true,
  description: "Hardware versions that the image runs on",
});
/** Without U+0000, which a form can carry and a database can't. */
const ReleaseNotes = Type.String({
  maxLength: 10_000,
  pattern: "^[^\\u0000]*$",
  examples: ["Shorter stopping distance on wet roads"],
});

/** More than a vehicle has types of ECUs that one image could need something of. */
const MAX_REQUIREMENTS = 32;

const Requirement = Type.Object(
  {
    ecu_type: EcuType,
    min_version: Version,
  },
  { additionalProperties: false },
);
const Requires = Type.Array(Requirement, {
  maxItems: MAX_REQUIREMENTS,
  description: "What every ECU of other types has to run, after the same package at the latest",
});
const Rxswin = Type.String({
  pattern: "^[!-~](?:[ -~]{0,62}[!-~])?$",
  description: "RxSWIN (UN Regulation No. 156) of the regulated software that the image belongs to",
  examples: ["R79 4711-02"],
});
const Availability = Type.Union([Type.Literal("channel"), Type.Literal("campaign")], {
  description: "Offered to every vehicle on its channel, or by a campaign only",
});
const BuildNumber = Type.Integer({
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  description: "Of the build that made the image",
});

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
    build_number: Type.Optional(BuildNumber),
    requires: Type.Optional(Requires),
    rxswin: Type.Optional(Rxswin),
    availability: Type.Optional(Availability),
  },
  { additionalProperties: false },
);
export type FirmwareMetadata = Static<typeof FirmwareMetadata>;

/** The same as a multipart form has it, beside the image: every field is text there. */
export const FirmwareForm = Type.Object(
  {
    ...FirmwareMetadata.properties,
    hardware_versions: Type.String({
      description: "Hardware versions that the image runs on, separated by commas",
    }),
    requires: Type.Optional(
      Type.String({
        description:
          "JSON: an array of objects with `ecu_type` and `min_version`, what every ECU of other types has to run",
      }),
    ),
    file: Type.String({ format: "binary", description: "The image" }),
  },
  {
    additionalProperties: false,
    examples: [
      {
        ecu_type: "brake-controller",
        version: "1.2.3",
        hardware_versions: "HW-1.0,HW-1.1",
        channel: "beta",
        critical: false,
        release_notes: "Shorter stopping distance on wet roads",
        requires: '[{"ecu_type":"zonal-gateway","min_version":"2.0.0"}]',
        file: "(the image)",
      },
    ],
  },
);

export const FirmwarePatch = Type.Object(
  {
    channel: Type.Optional(Channel),
    hardware_versions: Type.Optional(HardwareVersions),
    min_current_version: Type.Optional(Type.Union([Version, Type.Null()])),
    critical: Type.Optional(Type.Boolean()),
    release_notes: Type.Optional(Type.Union([ReleaseNotes, Type.Null()])),
    requires: Type.Optional(Requires),
    rxswin: Type.Optional(Type.Union([Rxswin, Type.Null()])),
    availability: Type.Optional(Availability),
  },
  {
    minProperties: 1,
    additionalProperties: false,
    examples: [{ release_notes: "Shorter stopping distance on wet roads", critical: true }],
  },
);
export type FirmwarePatch = Static<typeof FirmwarePatch>;

const FirmwareStatus = Type.Union([Type.Literal("active"), Type.Literal("archived")]);

/** Whether signed targets of the image repository name the image: vehicles take no other. */
const Publication = Type.Union([Type.Literal("published"), Type.Literal("awaiting_signature")]);

/** Told to the operator; nothing is refused for it. */
const warningCodes = [
  "CHAIN_BROKEN",
  "CHAIN_CUT",
  "REQUIREMENT_MISSING",
  "REQUIREMENT_CUT",
  "REQUIREMENT_CYCLE",
] as const;
export type FirmwareWarningCode = (typeof warningCodes)[number];

const FirmwareWarning = Type.Object({
  code: Type.Enum(warningCodes, { description: "See docs/errors.md" }),
  detail: Type.String(),
});

export const Firmware = Type.Object({
  firmware_id: Uuid,
  ecu_type: EcuType,
  version: Version,
  build_number: Type.Union([BuildNumber, Type.Null()]),
  hardware_versions: HardwareVersions,
  channel: Channel,
  min_current_version: Type.Union([Version, Type.Null()]),
  requires: Requires,
  availability: Availability,
  critical: Type.Boolean(),
  rxswin: Type.Union([Rxswin, Type.Null()]),
  release_notes: Type.Union([ReleaseNotes, Type.Null()]),
  status: FirmwareStatus,
  publication: Publication,
  size: Type.Integer({ description: "Bytes of the image" }),
  sha256: Sha256,
  compressed_size: Type.Integer({ description: "Bytes to download" }),
  compressed_sha256: Sha256,
  created_at: Timestamp,
  archived_at: Type.Union([Timestamp, Type.Null()]),
});
export type Firmware = Static<typeof Firmware>;

/** A firmware with what its operator should know of it as the catalogue is now. */
export const FirmwareDetail = Type.Object({
  ...Firmware.properties,
  sbom: Type.Union([SbomSummary, Type.Null()]),
  warnings: Type.Array(FirmwareWarning),
});
export type FirmwareDetail = Static<typeof FirmwareDetail>;

const orders = [
  "created",
  "-created",
  "version",
  "-version",
  "ecu_type",
  "-ecu_type",
  "build_number",
  "-build_number",
] as const;

/** Of the list, beside limit and cursor. */
export const FirmwareQuery = Type.Object({
  ecu_type: Type.Optional(EcuType),
  channel: Type.Optional(Channel),
  status: Type.Optional(FirmwareStatus),
  publication: Type.Optional(Publication),
  availability: Type.Optional(Availability),
  hardware_version: Type.Optional(HardwareVersion),
  version: Type.Optional(
    Type.String({ minLength: 1, maxLength: 64, description: "What the version begins with" }),
  ),
  min_version: Type.Optional(Version),
  max_version: Type.Optional(Version),
  from: Type.Optional(Timestamp),
  to: Type.Optional(Timestamp),
  component: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 500,
      description: "Name of a component in its SBOM, upper and lower case alike",
    }),
  ),
  component_version: Type.Optional(Type.String({ minLength: 1, maxLength: 500 })),
  purl: Type.Optional(
    Type.String({
      pattern: "^[Pp][Kk][Gg]:",
      maxLength: 2000,
      description:
        "Package URL of a component in its SBOM; without a version any version, without regard to qualifiers and subpath",
      examples: ["pkg:deb/debian/openssl@3.0.11"],
    }),
  ),
  sort: Type.Enum(orders, { default: "-created", description: "With `-` descending" }),
});
export type FirmwareQuery = Static<typeof FirmwareQuery>;
