import { sql } from "kysely";
import { expect, it, onTestFinished } from "vitest";
import { prepared } from "#server/database/prepared.ts";
import { ownDatabase } from "#test/server/own-database.ts";

it("prepares what is marked once on a connection, and nothing else", async () => {
  const { db, remove } = await ownDatabase();
  onTestFinished(remove);
  await db.transaction().execute(async (tx) => {
    const twice = (value: number) => prepared(sql<{ is: number }>`select 2 * ${value}::int as is`);
    for (const value of [1, 2, 21]) {
      const { rows } = await twice(value).execute(tx);
      expect(rows).toEqual([{ is: 2 * value }]);
    }
    await sql`select 3 * ${1}::int`.execute(tx);
    const kept = await sql<{ statement: string }>`
      select statement from pg_prepared_statements where statement like '%* $1::int%'
    `.execute(tx);
    expect(kept.rows).toEqual([{ statement: "/* prepared */ select 2 * $1::int as is" }]);
  });
});
