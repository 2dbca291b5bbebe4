import { parse as parseVersion } from "semver";
import { Compile } from "typebox/compile";
import { Channel, Version } from "#protocol/api/identifier.ts";
import { LAST_PROFILE, profileClasses, type FieldType } from "./field.ts";
import type { Token } from "./tokens.ts";

/** A value as a predicate has it, or what should stand there. */
type ReadValue = { value: string } | { expected: string };

/** Reads a value of a type; each type has its own way to be written. */
export function readValue(token: Token, type: FieldType): ReadValue {
  const expected = expectations[type];
  return isValue[type](token) ? { value: token.text } : { expected };
}

const channels = Compile(Channel);
const versions = Compile(Version);

const expectations: Record<FieldType, string> = {
  text: 'text in quotes ("…")',
  channel: "stable or beta",
  profile: `a TLS profile (0 to ${LAST_PROFILE}) or its class (${[...profileClasses.keys()].join(", ")})`,
  date: "a date (2026-01-31, from midnight UTC on) or a time (2026-01-31T12:00:00Z)",
  version: "a semantic version without quotes (2.0.0)",
};

const isValue: Record<FieldType, (token: Token) => boolean> = {
  text: ({ kind }) => kind === "string",
  channel: ({ kind, text }) => (kind === "word" || kind === "string") && channels.Check(text),
  profile: ({ kind, text }) =>
    kind === "value"
      ? /^(?:0|[1-9]\d?)$/.test(text) && Number(text) <= LAST_PROFILE
      : kind === "word" && profileClasses.has(text),
  date: ({ kind, text }) => kind === "value" && isDate(text),
  version: ({ kind, text }) =>
    kind === "value" && versions.Check(text) && parseVersion(text) !== null,
};

const time = /^(\d{4}-\d\d-\d\d)(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d))?$/;

/**
 * Date.parse takes the 31st of February for the 3rd of March. The database knows no year 0, which a
 * time of the year 1 may be in by UTC, and writes the years from 10000 on in another way.
 */
function isDate(text: string): boolean {
  const [, day] = time.exec(text) ?? [];
  return (
    day !== undefined &&
    !Number.isNaN(Date.parse(text)) &&
    /^(?!0000)\d{4}-/.test(new Date(text).toISOString()) &&
    new Date(`${day}T00:00:00Z`).toISOString().startsWith(day)
  );
}
