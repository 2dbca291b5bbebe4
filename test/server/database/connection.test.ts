import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDatabase } from "#server/database/connection.ts";
import { migrateToLatest } from "#server/database/migrate.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";

let own: OwnDatabase;
beforeAll(async () => {
  own = await ownDatabase();
  await sql`create table counter (name text primary key, value integer not null)`.execute(own.db);
  await sql`insert into counter values ('a', 0)`.execute(own.db);
});
afterAll(() => own.remove());

async function valueOf(name: string): Promise<number | undefined> {
  const { rows } = await sql<{
    value: number;
  }>`select value from counter where name = ${name}`.execute(own.db);
  return rows[0]?.value;
}

describe("the database", () => {
  it("keeps concurrent transactions apart: no update is lost", async () => {
    await Promise.all(
      Array.from({ length: 40 }, () =>
        own.db.transaction().execute(async (tx) => {
          const { rows } = await sql<{ value: number }>`
            select value from counter where name = 'a' for update`.execute(tx);
          await new Promise((turn) => setImmediate(turn));
          await sql`update counter set value = ${(rows[0]?.value ?? 0) + 1} where name = 'a'`.execute(
            tx,
          );
        }),
      ),
    );
    expect(await valueOf("a")).toBe(40);
  });

  it("undoes a transaction that fails in the middle, and goes on", async () => {
    const failing = own.db.transaction().execute(async (tx) => {
      await sql`insert into counter values ('b', 1)`.execute(tx);
      await sql`insert into counter values ('b', 2)`.execute(tx);
    });
    await expect(failing).rejects.toMatchObject({ code: "23505" });
    const thrown = own.db.transaction().execute(async (tx) => {
      await sql`insert into counter values ('c', 1)`.execute(tx);
      throw new Error("changed my mind");
    });
    await expect(thrown).rejects.toThrow("changed my mind");
    expect(await valueOf("b")).toBeUndefined();
    expect(await valueOf("c")).toBeUndefined();
    await sql`insert into counter values ('b', 3)`.execute(own.db);
    expect(await valueOf("b")).toBe(3);
  });

  it("does not mix what is in a transaction with what is beside it", async () => {
    const inside = own.db.transaction().execute(async (tx) => {
      await sql`insert into counter values ('d', 1)`.execute(tx);
      await new Promise((turn) => setImmediate(turn));
      throw new Error("undo");
    });
    const beside = sql`insert into counter values ('e', 1)`.execute(own.db);
    await expect(inside).rejects.toThrow("undo");
    await beside;
    expect([await valueOf("d"), await valueOf("e")]).toEqual([undefined, 1]);
  });

  it("survives a statement that it can't read, also in the middle of others", async () => {
    const answers = await Promise.allSettled([
      sql`select 1`.execute(own.db),
      sql`selekt 2`.execute(own.db),
      sql`select ${"x"}::integer`.execute(own.db),
      sql`select 3`.execute(own.db),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([
      "fulfilled",
      "rejected",
      "rejected",
      "fulfilled",
    ]);
  });

  it("reads int8 as a number, and fails rather than round", async () => {
    const read = (text: string) => sql<{ n: number }>`select ${text}::int8 as n`.execute(own.db);
    expect((await read("9007199254740991")).rows).toEqual([{ n: 9007199254740991 }]);
    await expect(read("9007199254740993")).rejects.toThrow(/out of range/);
  });

  it("has its tables brought up to date once: doing it again changes nothing", async () => {
    const tables = async () => {
      const { rows } = await sql`select table_name, column_name, data_type
        from information_schema.columns where table_schema = 'public' order by 1, 2`.execute(
        own.db,
      );
      return rows;
    };
    const before = await tables();
    await migrateToLatest(own.db);
    await migrateToLatest(own.db);
    expect(await tables()).toEqual(before);
    expect(before.length).toBeGreaterThan(50);
  });

  it("keeps what was stored when it is closed and opened again", async () => {
    await own.reopen();
    expect(await valueOf("a")).toBe(40);
  });
});

describe("the embedded database's folder", () => {
  const embedded = process.env["TEST_DATABASE"] !== "postgresql";

  it.runIf(embedded)(
    "is refused to a second user of the same process, with what to do",
    async () => {
      await expect(openDatabase(own.config, silentLog)).rejects.toThrow(
        /postgres is in use by another process: stop it, or set data_dir or DATABASE_URL/,
      );
      expect(await valueOf("a")).toBe(40);
    },
  );

  it.runIf(embedded)("is refused to another process, however it spells the folder", async () => {
    const open = new URL("../../../server/database/connection.ts", import.meta.url).href;
    const folder = join(own.folder, "..", own.folder.split("/").at(-1) ?? "");
    const script = `
      const { openDatabase } = await import(${JSON.stringify(open)});
      await openDatabase({ data_dir: ${JSON.stringify(`${folder}/.`)}, database: { url: "", pool_size: 1 } });`;
    const { stderr, status } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      encoding: "utf8",
    });
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/is in use by another process/);
    expect(await valueOf("a")).toBe(40);
  });

  it.runIf(embedded)("can be entered by nobody else", () => {
    expect(statSync(join(own.folder, "postgres")).mode & 0o077).toBe(0);
  });

  it.runIf(embedded)("is free again once it was closed", async () => {
    await own.reopen();
    expect(await valueOf("a")).toBe(40);
  });
});
