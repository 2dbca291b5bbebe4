import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  exchangeStep,
  startExchange,
  type ExchangeEvent,
  type ExchangeState,
  type ExchangeTiming,
} from "#protocol/uds/exchange.ts";

const timing: ExchangeTiming = {
  p2Ms: 50,
  p2StarMs: 5_000,
  totalMs: 12_000,
  busyRetries: 1,
  busyPauseMs: 100,
};

const request = Buffer.from("22f190", "hex");
const hex = (text: string) => Buffer.from(text, "hex");

/** Runs events given as [time, event] and lists what each of them led to. */
function run(
  events: readonly (readonly [now: number, event: "accepted" | "timer" | Buffer])[],
  asked: Uint8Array = request,
): string[] {
  let state: ExchangeState = startExchange(timing, 0);
  return events.map(([now, what]) => {
    const event: ExchangeEvent =
      typeof what === "string" ? { kind: what, now } : { kind: "received", now, response: what };
    const step = exchangeStep(asked, timing, state, event);
    state = step.state;
    switch (step.action?.kind) {
      case "wait":
        return `wait ${step.action.ms}`;
      case "finish":
        return `finish ${Buffer.from(step.action.response).toString("hex")}`;
      default:
        return step.action?.kind ?? "-";
    }
  });
}

const answer = hex("62f1905756");
const pending = hex("7f2278");
const busy = hex("7f2221");
const denied = hex("7f2233");

describe("an exchange", () => {
  test.each([
    [
      "ends with the positive response",
      [
        [0, "accepted"],
        [9, answer],
      ],
      ["wait 50", "finish 62f1905756"],
    ],
    [
      "ends with the negative response",
      [
        [0, "accepted"],
        [9, denied],
      ],
      ["wait 50", "finish 7f2233"],
    ],
    [
      "takes an answer that overtakes the acknowledgement",
      [
        [0, answer],
        [1, "accepted"],
      ],
      ["finish 62f1905756", "-"],
    ],
    [
      "times out after P2",
      [
        [0, "accepted"],
        [50, "timer"],
      ],
      ["wait 50", "time_out"],
    ],
    [
      "waits P2* after each 78",
      [
        [0, "accepted"],
        [40, pending],
        [5_000, pending],
        [6_000, answer],
      ],
      ["wait 50", "wait 5000", "wait 5000", "finish 62f1905756"],
    ],
    [
      "never waits beyond the total deadline",
      [
        [0, "accepted"],
        [40, pending],
        [5_000, pending],
        [9_000, pending],
        [12_000, "timer"],
      ],
      ["wait 50", "wait 5000", "wait 5000", "wait 3000", "time_out"],
    ],
    [
      "repeats a request the ECU was too busy for",
      [
        [0, "accepted"],
        [5, busy],
        [105, "timer"],
        [106, "accepted"],
        [110, answer],
      ],
      ["wait 50", "wait 100", "send", "wait 50", "finish 62f1905756"],
    ],
    [
      "repeats a request for which something was missing for a moment",
      [
        [0, "accepted"],
        [5, hex("7f2294")],
        [105, "timer"],
        [106, "accepted"],
        [110, answer],
      ],
      ["wait 50", "wait 100", "send", "wait 50", "finish 62f1905756"],
    ],
    [
      "gives the 21 back when it stays",
      [
        [0, "accepted"],
        [5, busy],
        [105, "timer"],
        [106, "accepted"],
        [110, busy],
      ],
      ["wait 50", "wait 100", "send", "wait 50", "finish 7f2221"],
    ],
    [
      "ends the pause for good at the deadline",
      [
        [0, "accepted"],
        [11_950, busy],
        [12_000, "timer"],
      ],
      ["wait 50", "wait 50", "time_out"],
    ],
    [
      "knows an answer to something else",
      [
        [0, "accepted"],
        [5, hex("62f1915756")],
        [6, hex("7f2e33")],
        [7, hex("50030032")],
        [8, answer],
      ],
      ["wait 50", "-", "-", "-", "finish 62f1905756"],
    ],
    [
      "is over when it is over",
      [
        [0, "accepted"],
        [9, answer],
        [10, answer],
        [50, "timer"],
        [60, "accepted"],
      ],
      ["wait 50", "finish 62f1905756", "-", "-", "-"],
    ],
  ] as const)("%s", (_, events, expected) => {
    expect(run(events)).toEqual(expected);
  });

  test("a suppressed positive answer finishes with nothing after P2", () => {
    const events = [
      [0, "accepted"],
      [50, "timer"],
    ] as const;
    expect(run(events, hex("3e80"))).toEqual(["wait 50", "finish "]);
  });

  test("a suppressed request still ends with a negative or late positive answer", () => {
    const negative = [
      [0, "accepted"],
      [5, hex("7f3e12")],
    ] as const;
    expect(run(negative, hex("3e80"))).toEqual(["wait 50", "finish 7f3e12"]);
    const late = [
      [0, "accepted"],
      [5, hex("7f3e78")],
      [90, hex("7e00")],
    ] as const;
    expect(run(late, hex("3e80"))).toEqual(["wait 50", "wait 5000", "finish 7e00"]);
  });

  test("whatever comes, it takes its total time at most", () => {
    const anyResponse = fc.oneof(
      fc.constantFrom(answer, pending, busy, denied),
      fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(2_000), anyResponse), { maxLength: 30 }),
        (responses) => {
          let now = 0;
          const events = responses.map(([pause, response]) => {
            now += pause;
            return [now, response] as const;
          });
          const waits = run([[0, "accepted"], ...events])
            .map((line, index) => [line, index === 0 ? 0 : (events[index - 1]?.[0] ?? 0)] as const)
            .filter(([line]) => line.startsWith("wait "));
          for (const [line, at] of waits) {
            expect(at + Number(line.slice(5))).toBeLessThanOrEqual(Math.max(timing.totalMs, at));
          }
        },
      ),
    );
  });
});
