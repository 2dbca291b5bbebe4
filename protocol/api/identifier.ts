import Type, { type Static } from "typebox";
import { namePattern } from "#protocol/mqtt/ecu-id.ts";
import { Instant } from "#protocol/mqtt/instant.ts";

const name = (description: string, example: string) =>
  Type.String({ pattern: namePattern, description, examples: [example] });

/** A VIN (ISO 3779) or a VMG id; the subject CN of the vehicle's certificate. */
export const VehicleId = Type.String({
  pattern: "^(?!\\.+$)[A-Za-z0-9._-]{3,64}$",
  description: "VIN or VMG id, as in the subject CN of the vehicle's certificate",
  examples: ["VMG-001"],
});
export const ZoneId = name("Zonal gateway, unique within its vehicle", "ZG-FRONT");
export const EcuType = name("Kind of ECU that a firmware is made for", "brake-controller");
export const HardwareVersion = name("Hardware version of an ECU", "HW-1.0");

// Up to 15 digits: semver refuses numbers that JavaScript does not hold exactly.
const number = "(0|[1-9]\\d{0,14})";
const prerelease = "(0|[1-9]\\d*|\\d*[A-Za-z-][0-9A-Za-z-]*)";
const build = "[0-9A-Za-z-]+";

/** Semantic Versioning 2.0.0, without a leading `v`. */
export const Version = Type.String({
  pattern: `^${number}\\.${number}\\.${number}(-${prerelease}(\\.${prerelease})*)?(\\+${build}(\\.${build})*)?$`,
  maxLength: 64,
  description: "Semantic version",
  examples: ["1.2.3"],
});

export const Sha256 = Type.String({
  pattern: "^[0-9a-f]{64}$",
  description: "SHA-256, lower-case hex",
  examples: ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
});

/** RFC 3339; UTC in every answer. */
export const Timestamp = Instant;

export const Channel = Type.Union([Type.Literal("stable"), Type.Literal("beta")], {
  description: "Release channel",
});
export type Channel = Static<typeof Channel>;

export { EcuId } from "#protocol/mqtt/ecu-id.ts";
export { Uuid } from "#protocol/mqtt/uuid.ts";
