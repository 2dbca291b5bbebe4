export interface Batcher<Item> {
  /** Resolves when the item's batch is committed; rejects when it failed. Waits while full. */
  push(item: Item): Promise<void>;
  /** Resolves when everything pushed so far has been flushed. */
  drain(): Promise<void>;
}

export interface BatchOptions<Item> {
  /** Stores a batch in one statement or transaction. */
  flush: (items: Item[]) => Promise<void>;
  maxItems: number;
}

/**
 * Group commit: while one batch is being stored, the next one gathers, so a lone item is stored at
 * once and a crowd shares its commits. The senders wait for their commit, which bounds the queue.
 */
export function createBatcher<Item>({ flush, maxItems }: BatchOptions<Item>): Batcher<Item> {
  interface Waiting {
    item: Item;
    done: () => void;
    fail: (error: unknown) => void;
  }
  let waiting: Waiting[] = [];
  let running: Promise<void> | undefined;

  async function run(): Promise<void> {
    // Let the messages of one read of the socket gather before the first batch goes out.
    await new Promise((next) => setImmediate(next));
    while (waiting.length > 0) {
      const batch = waiting.slice(0, maxItems);
      waiting = waiting.slice(maxItems);
      try {
        await flush(batch.map(({ item }) => item));
        for (const { done } of batch) done();
      } catch (error) {
        for (const { fail } of batch) fail(error);
      }
    }
    running = undefined;
  }

  return {
    push(item) {
      return new Promise((done, fail) => {
        waiting.push({ item, done, fail });
        running ??= run();
      });
    },
    async drain() {
      while (running) await running;
    },
  };
}
