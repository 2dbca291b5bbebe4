import { randomUUIDv7 } from "node:crypto";
import * as fc from "fast-check";
import { sql } from "kysely";
import { compare } from "semver";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { FirmwareMetadata } from "#protocol/api/firmware.ts";
import {
  changeFirmware,
  firmwareDetail,
  promoteFirmware,
  withdrawFirmware,
} from "#server/firmware/change.ts";
import { listFirmware, type FirmwareFilter } from "#server/firmware/list-queries.ts";
import { insertFirmware, patchFirmware, setPublished } from "#server/firmware/queries.ts";
import { openReleaseBook, type Releases } from "#server/firmware/release-book.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";

let own: OwnDatabase;
beforeAll(async () => {
  own = await ownDatabase();
});
afterAll(() => own.remove());

let counter = 0;
/** An ECU type that no other test uses. */
const newType = () => `type-${++counter}`;

let lastId = "";
/** Rising also within a millisecond, of which UUIDs have no order. */
function nextId(): string {
  let id: string;
  do id = randomUUIDv7();
  while (id <= lastId);
  return (lastId = id);
}

async function add(change: Partial<FirmwareMetadata> & { ecu_type: string }): Promise<string> {
  const firmware_id = nextId();
  const image = { size: 1000, sha256: "0".repeat(64), sha512: "0".repeat(128) };
  const compressed = { compressed_size: 500, compressed_sha256: "1".repeat(64) };
  const added = await insertFirmware(
    own.db,
    {
      version: "1.0.0",
      hardware_versions: ["HW-1.0"],
      channel: "stable",
      critical: false,
      ...change,
    },
    { firmware_id, ...image, ...compressed, created_by: "test" },
  );
  expect(added?.firmware_id).toBe(firmware_id);
  return firmware_id;
}

const publishOnly = (...ids: string[]) =>
  own.db.transaction().execute((tx) => setPublished(tx, ids));

/** Kinds of the events about a firmware, oldest first. */
async function told(firmwareId: string): Promise<string[]> {
  const rows = await own.db
    .selectFrom("event")
    .select("kind")
    .where("subject", "=", firmwareId)
    .orderBy("event_id")
    .execute();
  return rows.map(({ kind }) => kind);
}

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

describe("the list", () => {
  const list = (filter: Partial<FirmwareFilter>) =>
    listFirmware(own.db, { limit: 500, sort: "-created", ...filter });
  const versions = async (filter: Partial<FirmwareFilter>) =>
    (await list(filter)).map(({ version }) => version);

  it.each([
    ["created", ["1.10.0", "1.9.0", "2.0.0-rc.1", "1.9.0+b2", "2.0.0"]],
    ["version", ["1.9.0", "1.9.0+b2", "1.10.0", "2.0.0-rc.1", "2.0.0"]],
    ["build_number", ["2.0.0-rc.1", "1.10.0", "2.0.0", "1.9.0+b2", "1.9.0"]],
  ] as const)("has pages by %s, upwards and downwards, of whatever size", async (sort, order) => {
    const ecu_type = newType();
    const builds = { "1.10.0": 3, "1.9.0": 9_007_199_254_740_991, "1.9.0+b2": 7, "2.0.0": 5 };
    for (const version of ["1.10.0", "1.9.0", "2.0.0-rc.1", "1.9.0+b2", "2.0.0"]) {
      const build_number = (builds as Record<string, number>)[version];
      await add({ ecu_type, version, ...(build_number !== undefined && { build_number }) });
    }
    for (const [by, expected] of [
      [sort, order],
      [`-${sort}`, order.toReversed()],
    ] as const) {
      expect(await versions({ ecu_type, sort: by })).toEqual(expected);
      for (const limit of [1, 2, 4]) {
        const found: string[] = [];
        for (let cursor: string | undefined; ;) {
          const items = await list({ ecu_type, sort: by, limit, cursor });
          found.push(...items.map(({ version }) => version));
          cursor = items.at(-1)?.firmware_id;
          if (items.length < limit) break;
        }
        expect(found).toEqual(expected);
      }
    }
  });

  it("by ECU type has the versions of each in their order", async () => {
    const [a, b] = [newType(), newType()];
    for (const ecu_type of [b, a]) {
      for (const version of ["1.10.0", "1.9.0"]) await add({ ecu_type, version });
    }
    const found = (await list({ sort: "ecu_type" }))
      .filter(({ ecu_type }) => ecu_type === a || ecu_type === b)
      .map(({ ecu_type, version }) => [ecu_type, version]);
    expect(found).toEqual([
      [a, "1.9.0"],
      [a, "1.10.0"],
      [b, "1.9.0"],
      [b, "1.10.0"],
    ]);
  });

  it("is narrowed by what is said of a release", async () => {
    const ecu_type = newType();
    const hardware_versions = ["HW-2.0", "HW-3.0"];
    await add({ ecu_type, version: "1.0.0" });
    await add({ ecu_type, version: "1.2.0-rc.1", channel: "beta" });
    await add({ ecu_type, version: "1.2.0", availability: "campaign", hardware_versions });
    await add({ ecu_type, version: "1.20.0" });
    const of = async (filter: Partial<FirmwareFilter>) =>
      versions({ ecu_type, sort: "version", ...filter });
    expect(await of({ channel: "beta" })).toEqual(["1.2.0-rc.1"]);
    expect(await of({ availability: "campaign" })).toEqual(["1.2.0"]);
    expect(await of({ hardware_version: "HW-3.0" })).toEqual(["1.2.0"]);
    expect(await of({ hardware_version: "HW-3" })).toEqual([]);
    expect(await of({ version: "1.2" })).toEqual(["1.2.0-rc.1", "1.2.0", "1.20.0"]);
    expect(await of({ version: "1_2" })).toEqual([]);
    expect(await of({ min_version: "1.2.0-rc.1", max_version: "1.2.0" })).toEqual([
      "1.2.0-rc.1",
      "1.2.0",
    ]);
    expect(await of({ min_version: "1.2.0" })).toEqual(["1.2.0", "1.20.0"]);
    expect(await of({ publication: "published" })).toEqual([]);
    expect(await of({ to: "2000-01-01T00:00:00Z" })).toEqual([]);
    expect(await of({ from: "2000-01-01T00:00:00Z" })).toHaveLength(4);
  });

  it("refuses a cursor that is none where the order needs one", async () => {
    const cursor = randomUUIDv7();
    await expect(list({ sort: "version", cursor })).rejects.toMatchObject({
      code: "REQUEST_INVALID",
      errors: [{ path: "querystring/cursor" }],
    });
  });
});

describe("a release", () => {
  it("goes from beta to stable once, and that is told", async () => {
    const id = await add({ ecu_type: newType(), channel: "beta" });
    await promoteFirmware(own.db, id);
    expect(await firmwareDetail(own.db, id)).toMatchObject({ channel: "stable" });
    await expect(promoteFirmware(own.db, id)).rejects.toMatchObject({ code: "FIRMWARE_STABLE" });
    await changeFirmware(own.db, id, { channel: "beta" });
    await changeFirmware(own.db, id, { channel: "stable" });
    await changeFirmware(own.db, id, { channel: "stable", critical: true });
    expect(await told(id)).toEqual(["firmware.promoted", "firmware.promoted"]);
  });

  it("is archived once, for good, and stays to be seen", async () => {
    const id = await add({ ecu_type: newType(), channel: "beta" });
    const first = await withdrawFirmware(own.db, id);
    expect(first.archived_at).not.toBeNull();
    expect(await withdrawFirmware(own.db, id)).toEqual(first);
    expect(await firmwareDetail(own.db, id)).toEqual(first);
    expect(await told(id)).toEqual(["firmware.archived"]);
    const changes = [
      () => promoteFirmware(own.db, id),
      () => changeFirmware(own.db, id, { critical: true }),
    ];
    for (const change of changes)
      await expect(change()).rejects.toMatchObject({ code: "FIRMWARE_ARCHIVED" });
  });

  it("is told of when signed targets name it, and not when they do so no longer", async () => {
    const ids = [await add({ ecu_type: newType() }), await add({ ecu_type: newType() })] as const;
    await publishOnly(...ids);
    await publishOnly(ids[0]);
    expect(await told(ids[0])).toEqual(["firmware.published"]);
    expect(await told(ids[1])).toEqual(["firmware.published"]);
  });

  it("has warnings by the catalogue as it is, and tells what is lost with it", async () => {
    const [a, b] = [newType(), newType()];
    const step = await add({ ecu_type: a, version: "2.0.0" });
    const last = await add({ ecu_type: a, version: "3.0.0", min_current_version: "2.0.0" });
    const requires = [{ ecu_type: a, min_version: "2.0.0" }];
    const other = await add({ ecu_type: b, requires });
    const codes = async (id: string) =>
      (await firmwareDetail(own.db, id)).warnings.map(({ code }) => code);
    expect([await codes(last), await codes(other)]).toEqual([[], []]);
    const { warnings } = await withdrawFirmware(own.db, step);
    expect(warnings).toEqual([{ code: "CHAIN_CUT", detail: `${a} 3.0.0` }]);
    expect([await codes(last), await codes(other)]).toEqual([["CHAIN_BROKEN"], []]);
    expect((await withdrawFirmware(own.db, last)).warnings).toEqual([
      { code: "REQUIREMENT_CUT", detail: `${b} 1.0.0` },
    ]);
    expect(await codes(other)).toEqual(["REQUIREMENT_MISSING"]);
  });
});

describe("the release book", () => {
  it("has what is active and published, and a revision that rises with what planning can see", async () => {
    const book = await openReleaseBook({ db: own.db, everyMs: undefined, log: silentLog });
    const ecu_type = newType();
    const seen: Releases[] = [];
    const after = async (change: Promise<unknown>) => {
      await change;
      await book.refresh();
      seen.push(book.current());
      return book.current().revision;
    };
    const start = book.current().revision;
    const requires = [{ ecu_type: "other", min_version: "1.0.0" }];
    const id = await add({ ecu_type, requires, channel: "beta" });
    const other = await add({ ecu_type, version: "1.1.0" });
    expect(await after(Promise.resolve())).toBe(start);
    expect(await after(publishOnly(id, other))).toBe(start + 1);
    expect(book.current().byId.get(id)).toEqual({
      firmware_id: id,
      ecu_type,
      version: "1.0.0",
      hardware_versions: ["HW-1.0"],
      channel: "beta",
      min_current_version: null,
      requires,
      availability: "channel",
      critical: false,
      size: 500,
    });
    expect(await after(changeFirmware(own.db, id, { release_notes: "None." }))).toBe(start + 1);
    expect(await after(changeFirmware(own.db, id, { availability: "campaign" }))).toBe(start + 2);
    expect(await after(promoteFirmware(own.db, id))).toBe(start + 3);
    expect(await after(withdrawFirmware(own.db, id))).toBe(start + 4);
    expect(
      book
        .current()
        .byType.get(ecu_type)
        ?.map(({ version }) => version),
    ).toEqual(["1.1.0"]);
    expect(await after(publishOnly())).toBe(start + 5);
    expect(book.current().byType.has(ecu_type)).toBe(false);
    // Whoever holds an earlier state plans by it to the end.
    expect(seen[1]?.byType.get(ecu_type)).toHaveLength(2);
    book.stop();
  });

  it("is right after changes that come at once", async () => {
    const book = await openReleaseBook({ db: own.db, everyMs: undefined, log: silentLog });
    const ecu_type = newType();
    const id = await add({ ecu_type });
    await publishOnly(id);
    await Promise.all(
      [true, false, true, false, true].map(async (critical) => {
        await changeFirmware(own.db, id, { critical });
        await book.refresh();
        expect(book.current().byId.get(id)?.firmware_id).toBe(id);
      }),
    );
    expect(book.current().byId.get(id)?.critical).toBe((await firmwareDetail(own.db, id)).critical);
    book.stop();
  });

  it("misses nothing that was changed first and committed last", async (context) => {
    if (own.kind === "embedded") context.skip("the embedded database has one session");
    const book = await openReleaseBook({ db: own.db, everyMs: undefined, log: silentLog });
    const [slow, quick] = [await add({ ecu_type: newType() }), await add({ ecu_type: newType() })];
    await publishOnly(slow, quick);
    await book.refresh();
    const critical = () => [slow, quick].map((id) => book.current().byId.get(id)?.critical);
    await own.db.transaction().execute(async (tx) => {
      await patchFirmware(tx, slow, { critical: true });
      await changeFirmware(own.db, quick, { critical: true });
      await book.refresh();
      expect(critical()).toEqual([false, true]);
    });
    await book.refresh();
    expect(critical()).toEqual([true, true]);
    book.stop();
  });

  it("sees what another gateway changes", async () => {
    const book = await openReleaseBook({ db: own.db, everyMs: 5, log: silentLog });
    const id = await add({ ecu_type: newType() });
    await publishOnly(id);
    await expect.poll(() => book.current().byId.has(id)).toBe(true);
    book.stop();
  });
});
