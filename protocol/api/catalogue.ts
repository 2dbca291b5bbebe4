import Type, { type Static } from "typebox";
import {
  CodecDefinition,
  DtcDefinition,
  ExtendedDataDefinition,
  FieldDefinition,
  SecurityLevelDefinition,
} from "#protocol/uds/definition.ts";
import { diagnosticLevels } from "#protocol/uds/level.ts";
import { EcuType } from "./identifier.ts";

const Identifier = Type.String({ examples: ["0xF190"] });
const Level = Type.Enum(diagnosticLevels, {
  description: "What it may do: read, write what an ECU remembers, or control it",
});

/** A service as it is decoded. */
export const SupportedService = Type.Object({
  service_id: Type.String({ examples: ["0x22"] }),
  name: Type.String(),
  reads_only: Type.Boolean({ description: "Tried again when no answer came" }),
  level: Level,
  sub_functions: Type.Array(
    Type.Object({
      id: Type.String(),
      name: Type.String(),
      reads_only: Type.Boolean(),
      level: Level,
    }),
  ),
});
export type SupportedService = Static<typeof SupportedService>;

/** What identifiers and trouble codes of a type of ECU mean; codecs as in a definition file. */
export const CatalogueView = Type.Object({
  ecu_type: Type.Union([EcuType, Type.Null()]),
  ecu_types: Type.Array(Type.String(), { description: "Those with definitions of their own" }),
  dids: Type.Array(
    Type.Object({
      did: Identifier,
      name: Type.String(),
      codec: Type.Union([CodecDefinition, Type.Null()]),
      length: Type.Union([Type.Integer(), Type.Null()], { description: "Bytes, where fixed" }),
      unit: Type.Union([Type.String(), Type.Null()]),
    }),
  ),
  dtcs: Type.Array(DtcDefinition),
  rids: Type.Array(
    Type.Object({
      rid: Identifier,
      name: Type.String(),
      option: Type.Array(FieldDefinition),
      result: Type.Array(FieldDefinition),
    }),
  ),
  extended_data: Type.Array(ExtendedDataDefinition),
  security_levels: Type.Array(SecurityLevelDefinition),
});
export type CatalogueView = Static<typeof CatalogueView>;
