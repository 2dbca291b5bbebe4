export interface Batcher<Item> {
  /** Resolves when the item's batch is committed; rejects when it failed. */
  push(item: Item): Promise<void>;
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
  let running = 0;
  let gathering = false;

  /** Lets the messages of one read of the socket gather before their batch goes out. */
  function gather(): void {
    gathering = true;
    setImmediate(() => {
      gathering = false;
      void store();
    });
  }

  /** Stores batches until none waits. */
  async function store(): Promise<void> {
    running++;
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
    running--;
  }

  return {
    push(item) {
      return new Promise((done, fail) => {
        waiting.push({ item, done, fail });
        if (running < lanes && !gathering) gather();
      });
    },
  };
}
