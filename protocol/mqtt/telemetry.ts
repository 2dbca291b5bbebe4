import Type, { type Static } from "typebox";
import { Instant } from "./instant.ts";

/**
 * One sample: when, and the signals by name (`battery_soc`, `speed`, `temp`, …). Numbers are looked
 * at for anomalies; text and booleans are kept as they are.
 */
export const Telemetry = Type.Object(
  { ts: Instant },
  {
    additionalProperties: Type.Union([
      Type.Number(),
      Type.Boolean(),
      Type.String({ maxLength: 256 }),
    ]),
    propertyNames: Type.String({ minLength: 1, maxLength: 64 }),
    maxProperties: 64,
    minProperties: 2,
  },
);
export type Telemetry = Static<typeof Telemetry> & Record<string, number | boolean | string>;
