import { describe, expect, test } from "vitest";
import { activationCodeText, HeaderNack, PayloadType } from "#protocol/doip/codes.ts";
import type { DoipMessage } from "#protocol/doip/frame.ts";
import {
  openingTester,
  standardAckMs,
  testerStep,
  type TesterConfig,
  type TesterEffect,
  type TesterEvent,
  type TesterState,
} from "#protocol/doip/tester.ts";

const config: TesterConfig = {
  source: 0x0e80,
  activationType: 0,
  activationMs: 2_000,
  ackMs: standardAckMs,
};

const userData = Uint8Array.of(0x3e, 0x00);
const message = (message: DoipMessage): TesterEvent => ({ kind: "message", message });
const activated = (code: number, tester = 0x0e80): TesterEvent =>
  message({
    type: PayloadType.routingActivationResponse,
    tester,
    entity: 0x1000,
    code,
    reserved: 0,
  });
const ack = (source: number, target = 0x0e80): TesterEvent =>
  message({
    type: PayloadType.diagnosticAck,
    source,
    target,
    code: 0,
    previous: new Uint8Array(0),
  });
const nack = (source: number, code: number): TesterEvent =>
  message({
    type: PayloadType.diagnosticNack,
    source,
    target: 0x0e80,
    code,
    previous: new Uint8Array(0),
  });
const diagnostic = (target: number): DoipMessage => ({
  type: PayloadType.diagnosticMessage,
  source: 0x1001,
  target,
  userData,
});
const send = (id: number, target: number): TesterEvent => ({ kind: "send", id, target, userData });

const activating: TesterState = { phase: "activating" };
const closed: TesterState = { phase: "closed" };
const active = (...awaiting: [id: number, target: number][]): TesterState => ({
  phase: "active",
  awaiting: awaiting.map(([id, target]) => ({ id, target })),
});

function brief(effect: TesterEffect): string {
  switch (effect.kind) {
    case "send":
      return `send ${effect.message.type.toString(16).padStart(4, "0")}`;
    case "start_timer":
      return `start ${effect.timer} ${effect.ms}`;
    case "stop_timer":
      return `stop ${effect.timer}`;
    case "outcome":
      return `${effect.id} ${effect.outcome.kind}`;
    case "close":
      return `close: ${effect.reason}`;
    default:
      return effect.kind;
  }
}

type Row = readonly [
  name: string,
  before: TesterState,
  event: TesterEvent,
  after: TesterState,
  effects: string[],
];

const rows: readonly Row[] = [
  [
    "asks for its activation",
    openingTester,
    { kind: "opened" },
    activating,
    ["send 0005", "start activation 2000"],
  ],
  ["opens only once", active(), { kind: "opened" }, active(), []],
  ["is activated", activating, activated(0x10), active(), ["stop activation", "activated"]],
  ["waits for a confirmation", activating, activated(0x11), activating, []],
  ["is not meant by another's response", activating, activated(0x10, 0x0e81), activating, []],
  ["needs no second activation", active(), activated(0x10), active(), []],
  ...[0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07].map((code): Row => [
    `is denied with ${code}`,
    activating,
    activated(code),
    closed,
    [`close: routing activation denied with 0x0${code}, ${activationCodeText(code)}`],
  ]),
  [
    "gets no response",
    activating,
    { kind: "timer", timer: "activation" },
    closed,
    ["close: no routing activation response in time"],
  ],
  ["sends too early", activating, send(1, 0x1001), activating, ["1 lost"]],
  ["sends too late", closed, send(1, 0x1001), closed, ["1 lost"]],
  ["sends", active(), send(1, 0x1001), active([1, 0x1001]), ["send 8001", "start ack 2000"]],
  [
    "sends without waiting",
    active([1, 0x1001]),
    send(2, 0x1001),
    active([1, 0x1001], [2, 0x1001]),
    ["send 8001"],
  ],
  [
    "the first acknowledgement is for the oldest message",
    active([1, 0x1001], [2, 0x1001]),
    ack(0x1001),
    active([2, 0x1001]),
    ["start ack 2000", "1 acknowledged"],
  ],
  [
    "acknowledgements are told apart by the target",
    active([1, 0x1001], [2, 0x1002], [3, 0x1002]),
    ack(0x1002),
    active([1, 0x1001], [3, 0x1002]),
    ["2 acknowledged"],
  ],
  [
    "the last acknowledgement",
    active([1, 0x1001]),
    ack(0x1001),
    active(),
    ["stop ack", "1 acknowledged"],
  ],
  ["a refusal", active([1, 0x1001]), nack(0x1001, 3), active(), ["stop ack", "1 refused"]],
  ["an acknowledgement of nothing", active([1, 0x1001]), ack(0x1009), active([1, 0x1001]), []],
  [
    "an acknowledgement for somebody else",
    active([1, 0x1001]),
    ack(0x1001, 0x0e81),
    active([1, 0x1001]),
    [],
  ],
  ["an acknowledgement too early", activating, ack(0x1001), activating, []],
  [
    "no acknowledgement",
    active([1, 0x1001], [2, 0x1002]),
    { kind: "timer", timer: "ack" },
    closed,
    ["close: no acknowledgement in time", "1 lost", "2 lost"],
  ],
  ["an answer", active(), message(diagnostic(0x0e80)), active(), ["received"]],
  ["an answer to somebody else", active(), message(diagnostic(0x0e81)), active(), []],
  ["an answer before the activation", activating, message(diagnostic(0x0e80)), activating, []],
  ["an answer after the end", closed, message(diagnostic(0x0e80)), closed, []],
  [
    "proves that it is alive",
    active([1, 0x1001]),
    message({ type: PayloadType.aliveCheckRequest }),
    active([1, 0x1001]),
    ["send 0008"],
  ],
  [
    "a header NACK",
    active([1, 0x1001]),
    message({ type: PayloadType.headerNack, code: 2 }),
    closed,
    ["close: the entity refused a frame with header NACK 2", "1 lost"],
  ],
  [
    "a malformed frame",
    active([1, 0x1001]),
    { kind: "refused", code: HeaderNack.incorrectPattern, fatal: true },
    closed,
    ["close: the entity sent a malformed frame", "1 lost"],
  ],
  [
    "a frame of no concern",
    active(),
    { kind: "refused", code: HeaderNack.unknownPayloadType, fatal: false },
    active(),
    [],
  ],
  [
    "the connection ends",
    active([1, 0x1001]),
    { kind: "closed", reason: "ECONNRESET" },
    closed,
    ["close: ECONNRESET", "1 lost"],
  ],
  ["it ends only once", closed, { kind: "closed", reason: "again" }, closed, []],
  ["nothing is late after the end", closed, { kind: "timer", timer: "ack" }, closed, []],
];

describe("a DoIP tester", () => {
  test.each(rows)("%s", (_, before, event, after, effects) => {
    const step = testerStep(config, before, event);
    expect(step.effects.map(brief)).toEqual(effects);
    expect(step.state).toEqual(after);
  });

  test("a denial says why in words", () => {
    expect(testerStep(config, activating, activated(0x00)).effects.map(brief)).toEqual([
      "close: routing activation denied with 0x00, unknown source address",
    ]);
    expect(activationCodeText(0x42)).toBe("reserved code 0x42");
  });

  test("a refusal carries its code", () => {
    expect(testerStep(config, active([1, 0x1001]), nack(0x1001, 6)).effects).toContainEqual({
      kind: "outcome",
      id: 1,
      outcome: { kind: "refused", code: 6 },
    });
  });

  test("an alive check is answered in its own name", () => {
    const event = message({ type: PayloadType.aliveCheckRequest });
    expect(testerStep(config, active(), event).effects).toEqual([
      { kind: "send", message: { type: PayloadType.aliveCheckResponse, source: 0x0e80 } },
    ]);
  });
});
