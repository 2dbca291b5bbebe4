import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { cacheServedFiles } from "#server/trust/served-files.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";

let own: OwnDatabase;
beforeAll(async () => {
  own = await ownDatabase();
});
afterAll(() => own.remove());
beforeEach(() => own.db.deleteFrom("trust_metadata").execute());

/** As another gateway on the database does it. */
async function publish(role: string, version: number, text: string, live = true): Promise<void> {
  await own.db
    .insertInto("trust_metadata")
    .values({
      repository: "image",
      role,
      version,
      bytes: Buffer.from(text),
      expires_at: new Date(),
      live,
    })
    .execute();
}
/** What no gateway does: tells what is read from what is kept. */
const overwrite = (text: string) =>
  own.db
    .updateTable("trust_metadata")
    .set({ bytes: Buffer.from(text) })
    .execute();

const reader = (maxBytes?: number) => {
  const files = cacheServedFiles(own.db, maxBytes);
  return async (role: string, version?: number) =>
    (await files.find("image", role, version))?.bytes.toString();
};

test("a version is read once, however many ask for it at once or later", async () => {
  await publish("targets", 1, "one");
  const files = cacheServedFiles(own.db);
  const find = () => files.find("image", "targets", 1);
  const [first, other] = await Promise.all([find(), find()]);
  expect(first?.bytes.toString()).toBe("one");
  expect(other).toBe(first);
  await overwrite("two");
  expect(await find()).toBe(first);
  expect(await reader()("targets", 1)).toBe("two");
});

test("the newest one is what any gateway on the database has published last", async () => {
  const read = reader();
  expect(await read("timestamp")).toBeUndefined();
  await publish("timestamp", 1, "first");
  expect(await read("timestamp")).toBe("first");
  await publish("timestamp", 2, "second");
  expect(await read("timestamp")).toBe("second");
  expect(await read("timestamp", 1)).toBe("first");
});

test("what is not there, or waits, is looked for again", async () => {
  const read = reader();
  expect(await read("targets", 1)).toBeUndefined();
  await publish("targets", 1, "one", false);
  expect(await read("targets", 1)).toBeUndefined();
  await own.db.updateTable("trust_metadata").set({ live: true }).execute();
  expect(await read("targets", 1)).toBe("one");
});

test("no more bytes are kept than may be, and those that were asked for last", async () => {
  for (const version of [1, 2, 3]) await publish("targets", version, "four");
  const read = reader(8);
  for (const version of [1, 2, 1, 3]) expect(await read("targets", version)).toBe("four");
  await overwrite("else");
  expect(await read("targets", 1)).toBe("four");
  expect(await read("targets", 3)).toBe("four");
  expect(await read("targets", 2)).toBe("else");
});
