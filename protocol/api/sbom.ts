import Type, { type Static } from "typebox";
import { Sha256, Timestamp, Uuid } from "./identifier.ts";

const text = (maxLength: number) => Type.String({ minLength: 1, maxLength });

/** What is kept of an SBOM beside its bytes. */
export const SbomSummary = Type.Object({
  firmware_id: Uuid,
  spec_version: Type.String({ description: "Of CycloneDX", examples: ["1.6"] }),
  serial_number: Type.Union([Type.String(), Type.Null()]),
  bom_version: Type.Integer({ description: "Rises when the same SBOM is corrected" }),
  component_count: Type.Integer(),
  size: Type.Integer({ description: "Bytes of the document" }),
  sha256: Sha256,
  created_at: Timestamp,
});
export type SbomSummary = Static<typeof SbomSummary>;

/**
 * What a component of a CycloneDX document is known by; the rest of it is kept as it came.
 * @see https://cyclonedx.org/docs/1.6/json/
 */
export const SbomComponent = Type.Object({
  name: text(500),
  version: Type.Optional(Type.String({ maxLength: 500 })),
  purl: Type.Optional(text(2000)),
});
export type SbomComponent = Static<typeof SbomComponent>;

/** What identifies a CycloneDX document. */
export const SbomHead = Type.Object(
  {
    bomFormat: Type.Literal("CycloneDX"),
    specVersion: Type.Enum(["1.5", "1.6", "1.7"]),
    serialNumber: Type.Optional(
      Type.String({
        pattern: "^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
      }),
    ),
    version: Type.Optional(Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 })),
  },
  {
    examples: [
      {
        bomFormat: "CycloneDX",
        specVersion: "1.6",
        serialNumber: "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
        version: 1,
      },
    ],
  },
);
