import Type, { type Static } from "typebox";
import { Timestamp, VehicleId } from "./identifier.ts";

/** Where an event stands in the order of all: sorts by its two numbers. */
export const EventId = Type.String({
  pattern: "^[0-9]{1,18}-[0-9]{1,18}$",
  description: "Place in the order of all events",
  examples: ["1042-17"],
});

/** Longer ones are none. */
export const EventKind = Type.String({
  pattern: "^[a-z_]{1,32}\\.[a-z_]{1,32}$",
  examples: ["update.finished"],
});

export const Event = Type.Object({
  id: EventId,
  kind: EventKind,
  at: Timestamp,
  vin: Type.Union([VehicleId, Type.Null()]),
  subject: Type.Union([Type.String(), Type.Null()], {
    description: "Id of the update, campaign, firmware, … that it is about",
  }),
  data: Type.Record(Type.String(), Type.Unknown()),
});
export type Event = Static<typeof Event>;
