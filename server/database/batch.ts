export interface Batcher<Item> {
  /** Resolves when the item's batch is committed; rejects when it failed. */
  push(item: Item): Promise<void>;
  /** Resolves when everything pushed so far has been flushed. */
  drain(): Promise<void>;
}

export interface BatchOptions<Item> {
  /** Stores a batch in one statement or transaction. */
  flush: (items: Item[]) => Promise<void>;
  maxItems: number;
  /** Batches that may be under way at once, where their order doesn't matter; by default one. */
  lanes?: number;
}

/**
 * Group commit: while batches are being stored, the next one gathers, so a lone item is stored at
 * once and a crowd shares its commits. The senders wait for their commit, which bounds the queue.
 */
export function createBatcher<Item>(options: BatchOptions<Item>): Batcher<Item> {
  const { flush, maxItems, lanes = 1 } = options;
  interface Waiting {
    item: Item;
    done: () => void;
    fail: (error: unknown) => void;
  }
  let waiting: Waiting[] = [];
  const running = new Set<Promise<void>>();
  let gathering: Promise<void> | undefined;

  async function gather(): Promise<void> {
    // Let the messages of one read of the socket gather before their batch goes out.
    await new Promise((next) => setImmediate(next));
    gathering = undefined;
    if (waiting.length === 0) return;
    const lane: Promise<void> = store(() => running.delete(lane));
    running.add(lane);
  }

  /** Stores batches until none waits; `end` is called in the same turn as it finds none. */
  async function store(end: () => void): Promise<void> {
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
    end();
  }

  return {
    push(item) {
      return new Promise((done, fail) => {
        waiting.push({ item, done, fail });
        if (running.size < lanes) gathering ??= gather();
      });
    },
    async drain() {
      while (gathering ?? running.size > 0) await Promise.all([gathering, ...running]);
    },
  };
}
