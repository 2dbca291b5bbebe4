import { ActivationCode, HeaderNack, PayloadType } from "#protocol/doip/codes.ts";
import {
  idleEntity,
  standardTiming,
  type EntityConfig,
  type EntityEvent,
  type EntitySocket,
  type EntityState,
} from "#protocol/doip/entity-state.ts";
import type { DoipMessage } from "#protocol/doip/frame.ts";

export const OWN = 0x1000;
const GROUP = 0xe400;
const BEHIND = 0x1001;
const FULL = 0x1002;

export const config: EntityConfig = {
  logicalAddress: OWN,
  isTester: (source) => source >= 0x0e00 && source <= 0x0f7f,
  activationTypes: [0x00],
  maxSockets: 2,
  maxRequest: 100,
  routeOf(target) {
    if (target === GROUP) return "own";
    if (target === FULL) return "full";
    return target === BEHIND ? "forwarded" : "unknown";
  },
  timing: standardTiming,
};

export const activation = (source = 0x0e80, activationType = 0): DoipMessage => ({
  type: PayloadType.routingActivationRequest,
  source,
  activationType,
  reserved: 0,
});
export const diagnostic = (source = 0x0e80, target = BEHIND, length = 3): DoipMessage => ({
  type: PayloadType.diagnosticMessage,
  source,
  target,
  userData: new Uint8Array(length),
});
export const alive = (source = 0x0e80): DoipMessage => ({
  type: PayloadType.aliveCheckResponse,
  source,
});
export const message = (socket: number, message: DoipMessage): EntityEvent => ({
  kind: "message",
  socket,
  message,
});

export const sockets = (...entries: [number, EntitySocket][]): EntityState => ({
  sockets: new Map(entries),
});
export const opened: EntitySocket = { phase: "opened" };
export const active = (source = 0x0e80): EntitySocket => ({
  phase: "active",
  source,
  checking: false,
});
const checked = (source = 0x0e80): EntitySocket => ({
  phase: "active",
  source,
  checking: true,
});
const waiting = (source: number, on: number[], refusal: number): EntitySocket => ({
  phase: "waiting",
  request: { type: PayloadType.routingActivationRequest, source, activationType: 0, reserved: 0 },
  on,
  refusal,
});

const general = (socket: number) => `${socket} start general_inactivity 300000`;

export type Row = readonly [
  name: string,
  before: EntityState,
  event: EntityEvent,
  after: EntityState,
  effects: string[],
];

const elsewhere = ActivationCode.sourceActiveElsewhere;
const full = ActivationCode.noSocketFree;

export const rows: readonly Row[] = [
  [
    "a new socket gets 2 s",
    idleEntity,
    { kind: "opened", socket: 1 },
    sockets([1, opened]),
    ["1 start initial_inactivity 2000"],
  ],
  [
    "that pass without an activation",
    sockets([1, opened]),
    { kind: "timer", socket: 1, timer: "initial_inactivity" },
    idleEntity,
    ["1 close"],
  ],
  [
    "activation",
    sockets([1, opened]),
    message(1, activation()),
    sockets([1, active()]),
    ["1 stop initial_inactivity", general(1), "1 0006 10"],
  ],
  [
    "activation of an unknown source",
    sockets([1, opened]),
    message(1, activation(0x0100)),
    idleEntity,
    ["1 0006 00", "1 close"],
  ],
  [
    "activation of an unsupported type",
    sockets([1, opened]),
    message(1, activation(0x0e80, 0xe0)),
    idleEntity,
    ["1 0006 06", "1 close"],
  ],
  [
    "the source is judged before the type",
    sockets([1, opened]),
    message(1, activation(0x0100, 0xe0)),
    idleEntity,
    ["1 0006 00", "1 close"],
  ],
  [
    "activation once more",
    sockets([1, active()]),
    message(1, activation()),
    sockets([1, active()]),
    [general(1), "1 0006 10"],
  ],
  [
    "activation of another source on the same socket",
    sockets([1, active()]),
    message(1, activation(0x0e81)),
    idleEntity,
    [general(1), "1 0006 02", "1 close"],
  ],
  [
    "a second tester",
    sockets([1, active()], [2, opened]),
    message(2, activation(0x0e81)),
    sockets([1, active()], [2, active(0x0e81)]),
    ["2 stop initial_inactivity", general(2), "2 0006 10"],
  ],
  [
    "the same source on a second socket asks the first",
    sockets([1, active()], [2, opened]),
    message(2, activation()),
    sockets([1, checked()], [2, waiting(0x0e80, [1], elsewhere)]),
    ["2 stop initial_inactivity", "1 0007", "1 start alive_check 500"],
  ],
  [
    "which answers",
    sockets([1, checked()], [2, waiting(0x0e80, [1], elsewhere)]),
    message(1, alive()),
    sockets([1, active()]),
    [general(1), "1 stop alive_check", "2 0006 03", "2 close"],
  ],
  [
    "or stays silent",
    sockets([1, checked()], [2, waiting(0x0e80, [1], elsewhere)]),
    { kind: "timer", socket: 1, timer: "alive_check" },
    sockets([2, active()]),
    ["1 close", "2 stop initial_inactivity", general(2), "2 0006 10"],
  ],
  [
    "or closes",
    sockets([1, checked()], [2, waiting(0x0e80, [1], elsewhere)]),
    { kind: "closed", socket: 1 },
    sockets([2, active()]),
    ["2 stop initial_inactivity", general(2), "2 0006 10"],
  ],
  [
    "an answer in another tester's name proves nothing",
    sockets([1, checked()], [2, waiting(0x0e80, [1], elsewhere)]),
    message(1, alive(0x0e99)),
    sockets([1, checked()], [2, waiting(0x0e80, [1], elsewhere)]),
    [general(1)],
  ],
  [
    "diagnostics instead of an answer proves nothing",
    sockets([1, checked()], [2, waiting(0x0e80, [1], elsewhere)]),
    message(1, diagnostic()),
    sockets([1, checked()], [2, waiting(0x0e80, [1], elsewhere)]),
    [general(1), "1 deliver"],
  ],
  [
    "a third socket of the same source waits with the second",
    sockets([1, checked()], [2, waiting(0x0e80, [1], elsewhere)], [3, opened]),
    message(3, activation()),
    sockets(
      [1, checked()],
      [2, waiting(0x0e80, [1], elsewhere)],
      [3, waiting(0x0e80, [1], elsewhere)],
    ),
    ["3 stop initial_inactivity"],
  ],
  [
    "and asks the second when that has taken the first one's place",
    sockets(
      [1, checked()],
      [2, waiting(0x0e80, [1], elsewhere)],
      [3, waiting(0x0e80, [1], elsewhere)],
    ),
    { kind: "closed", socket: 1 },
    sockets([2, checked()], [3, waiting(0x0e80, [2], elsewhere)]),
    [
      "2 stop initial_inactivity",
      general(2),
      "2 0006 10",
      "3 stop initial_inactivity",
      "2 0007",
      "2 start alive_check 500",
    ],
  ],
  [
    "all sockets busy: everybody is asked",
    sockets([1, active()], [2, active(0x0e81)], [3, opened]),
    message(3, activation(0x0e82)),
    sockets([1, checked()], [2, checked(0x0e81)], [3, waiting(0x0e82, [1, 2], full)]),
    [
      "3 stop initial_inactivity",
      "1 0007",
      "1 start alive_check 500",
      "2 0007",
      "2 start alive_check 500",
    ],
  ],
  [
    "one of two answers",
    sockets([1, checked()], [2, checked(0x0e81)], [3, waiting(0x0e82, [1, 2], full)]),
    message(1, alive()),
    sockets([1, active()], [2, checked(0x0e81)], [3, waiting(0x0e82, [2], full)]),
    [general(1), "1 stop alive_check"],
  ],
  [
    "the other answers too",
    sockets([1, active()], [2, checked(0x0e81)], [3, waiting(0x0e82, [2], full)]),
    message(2, alive(0x0e81)),
    sockets([1, active()], [2, active(0x0e81)]),
    [general(2), "2 stop alive_check", "3 0006 01", "3 close"],
  ],
  [
    "the other is gone",
    sockets([1, active()], [2, checked(0x0e81)], [3, waiting(0x0e82, [2], full)]),
    { kind: "timer", socket: 2, timer: "alive_check" },
    sockets([1, active()], [3, active(0x0e82)]),
    ["2 close", "3 stop initial_inactivity", general(3), "3 0006 10"],
  ],
  [
    "a waiting socket asks again",
    sockets([1, checked()], [2, waiting(0x0e80, [1], elsewhere)]),
    message(2, activation()),
    sockets([1, checked()], [2, waiting(0x0e80, [1], elsewhere)]),
    [],
  ],
  [
    "a waiting socket asks for another source",
    sockets([1, checked()], [2, waiting(0x0e80, [1], elsewhere)]),
    message(2, activation(0x0e81)),
    sockets([1, checked()]),
    ["2 0006 02", "2 close"],
  ],
  [
    "a waiting socket closes",
    sockets([1, checked()], [2, waiting(0x0e80, [1], elsewhere)]),
    { kind: "closed", socket: 2 },
    sockets([1, checked()]),
    [],
  ],
  [
    "diagnostics before the activation",
    sockets([1, opened]),
    message(1, diagnostic()),
    sockets(),
    ["1 8003 02", "1 close"],
  ],
  [
    "diagnostics while waiting",
    sockets([1, checked()], [2, waiting(0x0e80, [1], elsewhere)]),
    message(2, diagnostic()),
    sockets([1, checked()], [2, waiting(0x0e80, [1], elsewhere)]),
    ["2 8003 02"],
  ],
  [
    "diagnostics in another tester's name",
    sockets([1, active()]),
    message(1, diagnostic(0x0e81)),
    sockets(),
    ["1 8003 02", "1 close"],
  ],
  [
    "diagnostics to nobody",
    sockets([1, active()]),
    message(1, diagnostic(0x0e80, 0x2222)),
    sockets([1, active()]),
    [general(1), "1 8003 03"],
  ],
  [
    "diagnostics too large for the target",
    sockets([1, active()]),
    message(1, diagnostic(0x0e80, BEHIND, 101)),
    sockets([1, active()]),
    [general(1), "1 8003 04"],
  ],
  [
    "diagnostics to a target that has no room",
    sockets([1, active()]),
    message(1, diagnostic(0x0e80, FULL)),
    sockets([1, active()]),
    [general(1), "1 8003 05"],
  ],
  [
    "diagnostics to something behind is acknowledged there",
    sockets([1, active()]),
    message(1, diagnostic()),
    sockets([1, active()]),
    [general(1), "1 deliver"],
  ],
  [
    "diagnostics to the entity itself is acknowledged first",
    sockets([1, active()]),
    message(1, diagnostic(0x0e80, GROUP, 100)),
    sockets([1, active()]),
    [general(1), "1 8002", "1 deliver acknowledged"],
  ],
  [
    "a keep-alive is not answered",
    sockets([1, active()]),
    message(1, alive()),
    sockets([1, active()]),
    [general(1)],
  ],
  [
    "a keep-alive before the activation changes nothing",
    sockets([1, opened]),
    message(1, alive()),
    sockets([1, opened]),
    [],
  ],
  [
    "a header NACK is never answered",
    sockets([1, active()]),
    message(1, { type: PayloadType.headerNack, code: 1 }),
    sockets([1, active()]),
    [general(1)],
  ],
  [
    "an answer of an ECU: its tester is not silent",
    sockets([1, active()]),
    { kind: "sent", socket: 1 },
    sockets([1, active()]),
    [general(1)],
  ],
  [
    "something sent before the activation",
    sockets([1, opened]),
    { kind: "sent", socket: 1 },
    sockets([1, opened]),
    [],
  ],
  [
    "five minutes of silence",
    sockets([1, active()]),
    { kind: "timer", socket: 1, timer: "general_inactivity" },
    idleEntity,
    ["1 close"],
  ],
  [
    "a malformed frame",
    sockets([1, active()], [2, opened]),
    { kind: "refused", socket: 1, code: HeaderNack.incorrectPattern, fatal: true },
    sockets([2, opened]),
    ["1 0000 00", "1 close"],
  ],
  [
    "a frame that can be skipped",
    sockets([1, active()]),
    { kind: "refused", socket: 1, code: HeaderNack.messageTooLarge, fatal: false },
    sockets([1, active()]),
    ["1 0000 02"],
  ],
  [
    "a tester that leaves",
    sockets([1, active()], [2, active(0x0e81)]),
    { kind: "closed", socket: 1 },
    sockets([2, active(0x0e81)]),
    [],
  ],
];
