import { createHash } from "node:crypto";
import { sql, type PostgresPool, type RawBuilder } from "kysely";
import type { Pool, PoolClient } from "pg";

const MARK = "/* prepared */";

/**
 * Marks a statement that is asked very often: each connection has it parsed, and mostly planned, once.
 * Its text must not vary without end, as a connection keeps what it has prepared.
 */
export function prepared<Row>(statement: RawBuilder<Row>): RawBuilder<Row> {
  return sql<Row>`${sql.raw(MARK)} ${statement}`;
}

type Client = Awaited<ReturnType<PostgresPool["connect"]>>;

/** A pool whose connections prepare what is marked. */
export function preparing(pool: Pool): PostgresPool {
  const clients = new WeakMap<PoolClient, Client>();
  return {
    options: pool.options,
    async connect() {
      const client = await pool.connect();
      const known = clients.get(client) ?? preparingClient(client);
      clients.set(client, known);
      return known;
    },
    end: () => pool.end(),
  };
}

/** What Kysely needs of a connection. */
function preparingClient(client: PoolClient): Client {
  const query = (text: string, values: unknown[]) =>
    text.startsWith(MARK)
      ? client.query({ name: nameOf(text), text, values })
      : client.query(text, values);
  return {
    // Its other signature is for cursors, which Kysely is given none of.
    query: query as unknown as Client["query"],
    release: (destroy) => client.release(destroy),
  };
}

const names = new Map<string, string>();

/** At most 63 characters (NAMEDATALEN). */
function nameOf(text: string): string {
  const known = names.get(text) ?? createHash("sha256").update(text).digest("hex").slice(0, 32);
  names.set(text, known);
  return known;
}
