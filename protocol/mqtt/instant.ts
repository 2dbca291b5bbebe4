import Type from "typebox";

/**
 * A time as RFC 3339 writes it, of this century: what a database and `Date` both read without
 * surprises. A vehicle whose clock stands at 1970 is refused.
 */
export const Instant = Type.String({
  pattern:
    "^20\\d{2}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])T([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)$",
  description: "RFC 3339 date-time",
  examples: ["2026-01-19T10:07:00Z"],
});
