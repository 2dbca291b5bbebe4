import type { Client } from "aedes";

/**
 * What is remembered of the vehicles' sessions (MQTT 3.1.1 §3.1.2.4) beside their subscriptions,
 * which aedes keeps: that there is one, and which of its QoS 2 messages wait for their PUBREL.
 * A clean session lives as long as its connection, any other as long as this process.
 */
export interface Sessions {
  /** A vehicle takes up its session, or begins one; was there one? */
  resume(vin: string): boolean;
  /** A vehicle has begun a clean session, which ends any other [MQTT-3.1.2-6]. */
  discard(vin: string): void;
  /**
   * Handles a QoS 2 message when it comes for the first time; when it comes again, waits for how
   * that ended, on whichever connection (§4.3.3, method B). A message whose handling failed
   * has not come.
   * @throws when too many messages wait for their PUBREL
   */
  once(client: Client, messageId: number, handle: () => Promise<void>): Promise<void>;
  /** The PUBREL: from now on this id stands for another message. */
  release(client: Client, messageId: number): void;
}

/** Far beyond what a vehicle has under way; a bound on what one costs that never sends a PUBREL. */
const MAX_UNRELEASED = 1000;

type Unreleased = Map<number, Promise<void>>;

export function createSessions(): Sessions {
  const persistent = new Map<string, Unreleased>();
  const clean = new WeakMap<Client, Unreleased>();

  function unreleased(client: Client): Unreleased {
    const known = client.clean ? clean.get(client) : persistent.get(client.id);
    if (known) return known;
    const begun: Unreleased = new Map();
    if (client.clean) clean.set(client, begun);
    else persistent.set(client.id, begun);
    return begun;
  }

  return {
    resume(vin) {
      const existed = persistent.has(vin);
      if (!existed) persistent.set(vin, new Map());
      return existed;
    },
    discard: (vin) => void persistent.delete(vin),
    once(client, messageId, handle) {
      const messages = unreleased(client);
      const before = messages.get(messageId);
      if (before) return before;
      if (messages.size >= MAX_UNRELEASED)
        return Promise.reject(new Error(`${MAX_UNRELEASED} messages wait for their PUBREL`));
      const handled = handle();
      messages.set(messageId, handled);
      handled.catch(() => {
        if (messages.get(messageId) === handled) messages.delete(messageId);
      });
      return handled;
    },
    release: (client, messageId) => void unreleased(client).delete(messageId),
  };
}
