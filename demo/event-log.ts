import type { AgentEvent } from "#vmg-sim/vmg/event.ts";

type EventOf<Type extends AgentEvent["type"]> = Extract<AgentEvent, { type: Type }>;

/** The vehicle's events, to be waited for in the order of the story. */
export interface EventLog {
  record(event: AgentEvent): void;
  /** The first event of a kind that fits and was not taken yet. @throws after `timeoutMs` */
  next<Type extends AgentEvent["type"]>(
    type: Type,
    fits?: (event: EventOf<Type>) => boolean,
    timeoutMs?: number,
  ): Promise<EventOf<Type>>;
  /** Calls back for every event from now on. */
  listen(listener: (event: AgentEvent) => void): () => void;
}

export function createEventLog(): EventLog {
  const untaken: AgentEvent[] = [];
  const listeners = new Set<(event: AgentEvent) => void>();
  return {
    record(event) {
      untaken.push(event);
      for (const listener of [...listeners]) listener(event);
    },
    next(type, fits = () => true, timeoutMs = 60_000) {
      type Wanted = EventOf<typeof type>;
      const isWanted = (event: AgentEvent): event is Wanted =>
        event.type === type && fits(event as Wanted);
      const take = (event: Wanted) => {
        untaken.splice(untaken.indexOf(event), 1);
        return event;
      };
      const there = untaken.find(isWanted);
      if (there) return Promise.resolve(take(there));
      return new Promise((done, fail) => {
        const timer = setTimeout(() => {
          listeners.delete(listener);
          fail(new Error(`the vehicle did not come to "${type}" within ${timeoutMs / 1000} s`));
        }, timeoutMs);
        const listener = (event: AgentEvent) => {
          if (!isWanted(event)) return;
          clearTimeout(timer);
          listeners.delete(listener);
          done(take(event));
        };
        listeners.add(listener);
      });
    },
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
