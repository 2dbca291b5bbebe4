import Type, { type Static, type TProperties } from "typebox";

/*
 * How a file describes what an ECU's bytes mean. The gateway reads catalogues of them; whoever
 * describes an ECU with more than that spreads `properties` into a schema of its own.
 */

const closed = <Properties extends TProperties>(properties: Properties) =>
  Type.Object(properties, { additionalProperties: false });

const Name = Type.String({ minLength: 1, maxLength: 128, description: "1 to 128 characters" });
const Unit = Type.Optional(
  Type.String({ minLength: 1, maxLength: 16, description: "1 to 16 characters" }),
);

/** More is not sent in one message. */
const Length = Type.Integer({ minimum: 1, maximum: 4095, description: "1 to 4095 bytes" });
/** What a number holds to the last digit. */
const IntegerLength = Type.Integer({ minimum: 1, maximum: 6, description: "1 to 6 bytes" });
const Identifier = Type.Integer({ minimum: 0, maximum: 0xffff, description: "0x0000 to 0xFFFF" });

const byNumber = (what: string, maxProperties: number) =>
  Type.Record(Type.String({ pattern: "^[0-9]+$" }), Name, {
    minProperties: 1,
    maxProperties,
    description: what,
  });

const number = {
  length: IntegerLength,
  /** physical value = raw value × scale + offset */
  scale: Type.Optional(Type.Number({ description: "a number, not 0" })),
  offset: Type.Optional(Type.Number({ description: "a number" })),
  unit: Unit,
};

/** Schemas of the codecs that stand for one value, by kind. Numbers are big-endian. */
const scalars = {
  /** Printable text; without a length to the end of the record. */
  ascii: closed({ kind: Type.Literal("ascii"), length: Type.Optional(Length) }),
  uint: closed({ kind: Type.Literal("uint"), ...number }),
  /** Two's complement. */
  int: closed({ kind: Type.Literal("int"), ...number }),
  /** A number that stands for a word. */
  enum: closed({
    kind: Type.Literal("enum"),
    length: Type.Optional(IntegerLength),
    values: byNumber("raw value: word", 4096),
  }),
  /** The names of the bits that are set; bit 0 is the lowest of the last byte. */
  bits: closed({
    kind: Type.Literal("bits"),
    length: IntegerLength,
    bits: byNumber("bit number: name", 48),
  }),
  /** Decimal digits, two a byte. */
  bcd: closed({ kind: Type.Literal("bcd"), length: Type.Optional(Length) }),
  /** YYYYMMDD in BCD, or YYMMDD in three bytes. */
  date: closed({
    kind: Type.Literal("date"),
    length: Type.Optional(Type.Union([Type.Literal(3), Type.Literal(4)])),
  }),
  hex: closed({ kind: Type.Literal("hex"), length: Type.Optional(Length) }),
};

/** The codec of one value. */
export const ScalarDefinition = Type.Union([
  scalars.ascii,
  scalars.uint,
  scalars.int,
  scalars.enum,
  scalars.bits,
  scalars.bcd,
  scalars.date,
  scalars.hex,
]);
export type ScalarDefinition = Static<typeof ScalarDefinition>;

/** A part of a record. Only the last one may be without a fixed length. */
export const FieldDefinition = closed({ name: Name, codec: ScalarDefinition });
export type FieldDefinition = Static<typeof FieldDefinition>;

const Fields = Type.Array(FieldDefinition, {
  minItems: 1,
  maxItems: 256,
  description: "a list of { name, codec }",
});

const struct = closed({ kind: Type.Literal("struct"), fields: Fields });

/** The codec of a whole record: one value, or fields one behind the other. */
export const CodecDefinition = Type.Union([...ScalarDefinition.anyOf, struct]);
export type CodecDefinition = Static<typeof CodecDefinition>;

/** The same by kind, to say exactly what a codec lacks. */
export const codecSchemas = { ...scalars, struct };

/** A data identifier (22, 2E, 24, 2F). Without a codec it has a name, and its bytes stay hex. */
export const DidDefinition = closed({
  did: Identifier,
  name: Name,
  codec: Type.Optional(CodecDefinition),
});
export type DidDefinition = Static<typeof DidDefinition>;

/** ISO 14229-1, D.3: what a fault asks of the driver. */
const dtcSeverities = ["maintenance_only", "check_at_next_halt", "check_immediately"] as const;

/** A trouble code; without its failure type (`P0562`) it stands for all of them. */
export const DtcDefinition = closed({
  code: Type.String({
    pattern: "^[PCBU][0-3][0-9A-F]{3}(-[0-9A-F]{2})?$",
    description: "P0562-16, or P0562 for every failure type",
    examples: ["P0562-16"],
  }),
  text: Type.String({ minLength: 1, maxLength: 512, description: "1 to 512 characters" }),
  severity: Type.Optional(Type.Enum(dtcSeverities, { description: dtcSeverities.join(", ") })),
});
export type DtcDefinition = Static<typeof DtcDefinition>;

/** A routine (31): what it is started with, and what its status record holds. */
export const RidDefinition = closed({
  rid: Identifier,
  name: Name,
  option: Type.Optional(Fields),
  result: Type.Optional(Fields),
});
export type RidDefinition = Static<typeof RidDefinition>;

/** An extended data record of DTCs (19 06), by its number. */
export const ExtendedDataDefinition = closed({
  record: Type.Integer({ minimum: 1, maximum: 0xef, description: "0x01 to 0xEF" }),
  name: Name,
  codec: CodecDefinition,
});
export type ExtendedDataDefinition = Static<typeof ExtendedDataDefinition>;

/** A security level (27) by its odd sub-function. */
export const SecurityLevelDefinition = closed({
  level: Type.Integer({ minimum: 1, maximum: 0x7d, description: "the odd sub-function" }),
  name: Name,
});
export type SecurityLevelDefinition = Static<typeof SecurityLevelDefinition>;

const listOf = <Item extends typeof DidDefinition | typeof DtcDefinition | typeof RidDefinition>(
  item: Item,
) => Type.Optional(Type.Array(item, { maxItems: 20_000, description: "a list" }));

/** One file of a catalogue. Without `ecu_type` it is about every ECU. */
export const DefinitionFile = closed({
  ecu_type: Type.Optional(
    Type.String({ minLength: 1, maxLength: 64, description: "1 to 64 characters" }),
  ),
  dids: listOf(DidDefinition),
  dtcs: listOf(DtcDefinition),
  rids: listOf(RidDefinition),
  extended_data: Type.Optional(
    Type.Array(ExtendedDataDefinition, { maxItems: 239, description: "a list" }),
  ),
  security_levels: Type.Optional(
    Type.Array(SecurityLevelDefinition, { maxItems: 63, description: "a list" }),
  ),
});
export type DefinitionFile = Static<typeof DefinitionFile>;
