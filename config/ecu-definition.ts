import Type, { type Static, type TProperties } from "typebox";
import {
  DidDefinition,
  DtcDefinition,
  ExtendedDataDefinition,
  RidDefinition,
  SecurityLevelDefinition,
} from "#protocol/uds/definition.ts";
import { EcuType } from "#protocol/api/identifier.ts";

const group = <Properties extends TProperties>(properties: Properties) =>
  Type.Object(properties, { additionalProperties: false });

const YesNo = Type.Boolean({ description: "true or false" });
const milliseconds = (minimum: number) =>
  Type.Integer({ minimum, maximum: 3_600_000, description: `${minimum} to 3600000 milliseconds` });
const hex = (maxBytes: number) =>
  Type.String({
    pattern: `^([0-9A-Fa-f]{2}){0,${maxBytes}}$`,
    description: `at most ${maxBytes} bytes in hex`,
  });

const sessions = ["default", "programming", "extended"] as const;

/** Where and with which key something is allowed; what is left out does not matter. */
export const Access = group({
  sessions: Type.Optional(
    Type.Array(Type.Enum(sessions, { description: sessions.join(", ") }), {
      minItems: 1,
      maxItems: 3,
      description: `a list of ${sessions.join(", ")}`,
    }),
  ),
  level: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 125, description: "an odd level from 1 to 125" }),
  ),
});
export type Access = Static<typeof Access>;

/** What a value is: fixed until it is written, or swinging between two numbers with the clock. */
const content = {
  value: Type.Optional(
    Type.Union(
      [
        Type.Number(),
        Type.String({ maxLength: 4_095 }),
        Type.Array(Type.String({ maxLength: 128 }), { maxItems: 48 }),
      ],
      { description: "a number, a text, or a list of the bits that are set" },
    ),
  ),
  signal: Type.Optional(
    group({
      from: Type.Number({ description: "a number" }),
      to: Type.Number({ description: "a number" }),
      period_s: Type.Number({ minimum: 0.1, maximum: 86_400, description: "0.1 to 86400 seconds" }),
    }),
  ),
  minimum: Type.Optional(Type.Number({ description: "the least number a tester may write" })),
  maximum: Type.Optional(Type.Number({ description: "the greatest number a tester may write" })),
};
const Content = group(content);
export type Content = Static<typeof Content>;

const EcuDid = group({
  ...DidDefinition.properties,
  ...content,
  fields: Type.Optional(
    Type.Record(Type.String({ pattern: "^.{1,128}$" }), Content, {
      maxProperties: 256,
      description: "field: { value } or { signal }",
    }),
  ),
  read: Type.Optional(Access),
  write: Type.Optional(Access),
});
export type EcuDid = Static<typeof EcuDid>;

const EcuDtc = group({
  ...DtcDefinition.properties,
  code: Type.String({
    pattern: "^[PCBU][0-3][0-9A-F]{3}-[0-9A-F]{2}$",
    description: "a DTC with its failure type, P0562-16",
  }),
  status: Type.Integer({ minimum: 0, maximum: 0xff, description: "0x00 to 0xFF" }),
});

const EcuRoutine = group({
  ...RidDefinition.properties,
  option_length: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 255, description: "0 to 255 bytes" }),
  ),
  duration_ms: milliseconds(0),
  background: YesNo,
  answer: hex(255),
  access: Type.Optional(Access),
});
export type EcuRoutine = Static<typeof EcuRoutine>;

const options = ["reset_to_default", "freeze_current_state", "short_term_adjustment"] as const;

const EcuControl = group({
  did: DidDefinition.properties.did,
  options: Type.Array(Type.Enum(options, { description: options.join(", ") }), {
    minItems: 1,
    maxItems: 3,
    description: `a list of ${options.join(", ")}`,
  }),
  access: Type.Optional(Access),
});
export type EcuControl = Static<typeof EcuControl>;

/** More than any request or block needs, and little enough for a fleet in one process. */
const MAX_REGION = 1_048_576;

const EcuMemory = group({
  name: Type.String({ minLength: 1, maxLength: 64, description: "1 to 64 characters" }),
  address: Type.Integer({ minimum: 0, maximum: 2 ** 40 - 1, description: "an address" }),
  length: Type.Integer({
    minimum: 1,
    maximum: MAX_REGION,
    description: `1 to ${MAX_REGION} bytes`,
  }),
  content: hex(4_096),
  read: Type.Optional(Access),
  write: Type.Optional(Access),
  upload: Type.Optional(Access),
});
export type EcuMemory = Static<typeof EcuMemory>;

const responses = ["without_sid", "with_sid"] as const;

const EcuPeriodic = group({
  max: Type.Integer({ minimum: 1, maximum: 64, description: "1 to 64" }),
  slow_ms: milliseconds(10),
  medium_ms: milliseconds(10),
  fast_ms: milliseconds(10),
  response: Type.Enum(responses, { description: responses.join(", ") }),
});

const EcuSecurityLevel = group({
  ...SecurityLevelDefinition.properties,
  max_attempts: Type.Integer({ minimum: 1, maximum: 255, description: "1 to 255" }),
  delay_ms: milliseconds(0),
});

const listOf = <Item extends ReturnType<typeof group>>(item: Item, maxItems: number) =>
  Type.Array(item, { maxItems, description: "a list" });

/**
 * What an ECU type is beyond what every simulated ECU has (`config/ecus/*.yaml`): a definition file
 * of the gateway's catalogue, with values, behaviour and what else it can do.
 */
export const EcuDefinition = group({
  ecu_type: EcuType,
  max_response: Type.Integer({ minimum: 64, maximum: 0xffff, description: "64 to 65535 bytes" }),
  dids: listOf(EcuDid, 1_000),
  dtcs: listOf(EcuDtc, 1_000),
  rids: listOf(EcuRoutine, 200),
  extended_data: Type.Optional(listOf(ExtendedDataDefinition, 239)),
  security_levels: Type.Array(EcuSecurityLevel, {
    minItems: 1,
    maxItems: 63,
    description: "a list",
  }),
  controls: listOf(EcuControl, 200),
  memory: listOf(EcuMemory, 16),
  periodic: EcuPeriodic,
});
export type EcuDefinition = Static<typeof EcuDefinition>;
