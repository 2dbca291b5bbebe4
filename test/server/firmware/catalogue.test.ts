import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import * as fc from "fast-check";
import { compare } from "semver";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  insertFirmware,
  setPublished,
  archiveFirmware,
  patchFirmware,
} from "#server/firmware/queries.ts";
import { openReleaseBook } from "#server/firmware/release-book.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";

let own: OwnDatabase;
beforeAll(async () => {
  own = await ownDatabase();
});
afterAll(() => own.remove());

describe("semver_key", () => {
  const identifier = fc.constantFrom(
    "0",
    "1",
    "9",
    "10",
    "99",
    "100",
    "a",
    "b",
    "ab",
    "a-b",
    "-",
    "Z",
    "1a",
    "rc",
    "20260101000000000000",
  );
  const version = fc
    .tuple(
      fc.constantFrom(0, 1, 2, 9, 10, 999_999_999_999_999),
      fc.constantFrom(0, 1, 10),
      fc.constantFrom(0, 9, 10),
      fc.option(fc.array(identifier, { minLength: 1, maxLength: 3 })),
      fc.constantFrom("", "+b.1", "+a-b"),
    )
    .map(
      ([major, minor, patch, words, build]) =>
        `${major}.${minor}.${patch}${words ? `-${words.join(".")}` : ""}${build}`,
    )
    .filter((each) => each.length <= 64);
  it("sorts as versions precede each other", async () => {
    const versions = fc.sample(version, { seed: 5, numRuns: 300 });
    const { rows } = await sql<{ version: string; key: string }>`
      select version, semver_key(version) as key from unnest(${versions}::text[]) as each (version)
      order by semver_key(version) collate "C"
    `.execute(own.db);
    expect(rows).toHaveLength(300);
    for (const [index, { version, key }] of rows.entries()) {
      const next = rows[index + 1];
      if (next === undefined) continue;
      expect(compare(version, next.version), `${version} ${next.version}`).toBe(
        key === next.key ? 0 : -1,
      );
    }
  });
});
