import { describe, expect, it } from "vitest";
import { idle, serverState, trackState, transition } from "#server/runtime/state.ts";

describe("the server's state", () => {
  it.each([
    [{ https: 0, mqtt: 0, maintenance: 0 }, "IDLE"],
    [{ https: 1, mqtt: 0, maintenance: 0 }, "PROCESSING"],
    [{ https: 0, mqtt: 3, maintenance: 0 }, "HANDLING"],
    [{ https: 0, mqtt: 0, maintenance: 1 }, "MAINTENANCE"],
    [{ https: 1, mqtt: 1, maintenance: 1 }, "PROCESSING"],
    [{ https: 0, mqtt: 1, maintenance: 1 }, "HANDLING"],
  ] as const)("%j is %s", (inFlight, state) => expect(serverState(inFlight)).toBe(state));

  it("counts work of each kind, and refuses an end without a beginning", () => {
    const busy = transition(idle, { type: "begin", work: "mqtt" });
    expect(busy).toEqual({ https: 0, mqtt: 1, maintenance: 0 });
    expect(transition(busy, { type: "end", work: "mqtt" })).toEqual(idle);
    expect(() => transition(busy, { type: "end", work: "https" })).toThrow(RangeError);
    expect(idle).toEqual({ https: 0, mqtt: 0, maintenance: 0 });
  });

  it("goes back to IDLE only when the last piece of work has ended, each ending once", () => {
    const tracker = trackState();
    const first = tracker.begin("https");
    const second = tracker.begin("https");
    first();
    first();
    expect(tracker.state()).toBe("PROCESSING");
    second();
    expect(tracker.state()).toBe("IDLE");
    expect(tracker.inFlight()).toEqual(idle);
  });
});
