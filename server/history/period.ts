import Type from "typebox";
import { Timestamp } from "#protocol/api/identifier.ts";

/** From a time on, and before another. */
export const Period = { from: Type.Optional(Timestamp), to: Type.Optional(Timestamp) };

/** What was asked for, with its times as times. */
export function dated<Query extends { from?: string | undefined; to?: string | undefined }>({
  from,
  to,
  ...others
}: Query): Omit<Query, "from" | "to"> & { from: Date | undefined; to: Date | undefined } {
  const asDate = (time: string | undefined) => (time === undefined ? undefined : new Date(time));
  return { ...others, from: asDate(from), to: asDate(to) };
}
