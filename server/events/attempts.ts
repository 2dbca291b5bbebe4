import type { DueWebhook } from "./delivery-queries.ts";

/** The attempts that are under way, and how many more there may be. */
export interface Attempts {
  countOf(webhookId: string): number;
  /** How many may begin; 0 or less: none. */
  freeFor(webhook: DueWebhook): number;
  add(webhook: DueWebhook, attempt: Promise<void>): void;
  /** Resolves when none is under way. */
  idle(): Promise<void>;
}

/** At once, and how many of them may be to webhooks that fail: so those never take all the room. */
const MOST = 256;
const MOST_FAILING = 64;

/** @param concurrency to one webhook */
export function createAttempts(concurrency: number): Attempts {
  const underWay = new Map<Promise<void>, DueWebhook>();

  function countOf(webhookId: string): number {
    return [...underWay.values()].filter(({ webhook_id }) => webhook_id === webhookId).length;
  }

  return {
    countOf,
    /** One that fails is tried by one at a time: no more is learnt by many. */
    freeFor({ webhook_id, failures }) {
      const own = (failures > 0 ? 1 : concurrency) - countOf(webhook_id);
      const failing = [...underWay.values()].filter((each) => each.failures > 0).length;
      const others = failures > 0 ? MOST_FAILING - failing : MOST - underWay.size;
      return Math.min(own, others);
    },
    add(webhook, attempt) {
      underWay.set(attempt, webhook);
      void attempt.finally(() => underWay.delete(attempt));
    },
    async idle() {
      while (underWay.size > 0) await Promise.all(underWay.keys());
    },
  };
}
