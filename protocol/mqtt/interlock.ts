import Type, { type Static } from "typebox";

/**
 * What a vehicle demands of itself before somebody far away may touch it. The VMG enforces them:
 * the gateway can't know what the vehicle is doing now.
 */
export const interlocks = [
  "stationary",
  "in_park",
  "voltage",
  "no_update",
  "driver_consent",
] as const;
export const Interlock = Type.Enum(interlocks);
export type Interlock = Static<typeof Interlock>;
