/** What the gateway is doing: answering HTTPS, handling MQTT, running maintenance, or waiting. */
export type ServerState = "IDLE" | "PROCESSING" | "HANDLING" | "MAINTENANCE";

/** The kinds of work that take the gateway out of IDLE. */
export type Work = "https" | "mqtt" | "maintenance";

const stateOf: Record<Work, ServerState> = {
  https: "PROCESSING",
  mqtt: "HANDLING",
  maintenance: "MAINTENANCE",
};

/** Work under way, by kind. */
export type InFlight = Readonly<Record<Work, number>>;

export const idle: InFlight = { https: 0, mqtt: 0, maintenance: 0 };

/**
 * Work of several kinds overlaps in one process; the state names the first kind under way in the
 * order https, mqtt, maintenance.
 */
export function serverState(inFlight: InFlight): ServerState {
  const busy = (["https", "mqtt", "maintenance"] as const).find((work) => inFlight[work] > 0);
  return busy === undefined ? "IDLE" : stateOf[busy];
}

/** @throws RangeError when work ends that never began */
export function transition(
  inFlight: InFlight,
  event: { type: "begin" | "end"; work: Work },
): InFlight {
  const count = inFlight[event.work] + (event.type === "begin" ? 1 : -1);
  if (count < 0) throw new RangeError(`${event.work} work ended that never began`);
  return { ...inFlight, [event.work]: count };
}

export interface StateTracker {
  state(): ServerState;
  inFlight(): InFlight;
  begin(work: Work): () => void;
  /** Resolves when nothing of this kind is under way. */
  whenIdle(work: Work): Promise<void>;
}

/** Keeps the gateway's state; `begin` returns the function that ends that piece of work. */
export function trackState(): StateTracker {
  let inFlight = idle;
  let waiting: { work: Work; done: () => void }[] = [];
  const settle = () => {
    for (const { work, done } of waiting) if (inFlight[work] === 0) done();
    waiting = waiting.filter(({ work }) => inFlight[work] > 0);
  };
  return {
    state: () => serverState(inFlight),
    inFlight: () => inFlight,
    begin(work) {
      inFlight = transition(inFlight, { type: "begin", work });
      let open = true;
      return () => {
        if (open) inFlight = transition(inFlight, { type: "end", work });
        open = false;
        settle();
      };
    },
    whenIdle: (work) =>
      new Promise((done) => {
        waiting.push({ work, done });
        settle();
      }),
  };
}
