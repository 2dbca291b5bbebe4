import type { Client } from "aedes";

/** Does a vehicle's work one after the other, in the order of the calls, over all connections. */
export type TakeTurns = (client: Client, work: () => Promise<void>) => Promise<void>;

/**
 * When one fails, those behind it on its connection fail with it: the vehicle sends them all again,
 * and in that order they have to be handled.
 */
export function createTurns(): TakeTurns {
  const last = new Map<string, Promise<void>>();
  const failed = new WeakSet<Client>();
  return (client, work) => {
    const turn = (last.get(client.id) ?? Promise.resolve()).then(() => {
      if (failed.has(client)) throw new Error("a message before it could not be stored");
      return work();
    });
    const over = turn
      .catch(() => void failed.add(client))
      .finally(() => {
        if (last.get(client.id) === over) last.delete(client.id);
      });
    last.set(client.id, over);
    return turn;
  };
}
