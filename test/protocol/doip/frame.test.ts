import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteError } from "#protocol/bytes/reader.ts";
import { HeaderNack, PayloadType } from "#protocol/doip/codes.ts";
import {
  decodePayload,
  encodeFrame,
  HEADER_LENGTH,
  judgeHeader,
  payloadCodecs,
  type Acceptance,
  type DoipMessage,
} from "#protocol/doip/frame.ts";

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));
const hexOf = (message: DoipMessage, version = 2) =>
  Buffer.concat(encodeFrame(message, version)).toString("hex");

const T = PayloadType;
const eid = bytes("001a37bfee74");
const vin = "WAUZZZ8V0JA000001";
const vinHex = Buffer.from(vin).toString("hex");

/** Frames as ISO 13400-2 lays them out; both forms of every payload with an optional field. */
const golden: readonly (readonly [name: string, message: DoipMessage, hex: string])[] = [
  ["0000", { type: T.headerNack, code: 0x02 }, "02fd00000000000102"],
  ["0001", { type: T.vehicleIdentificationRequest }, "02fd000100000000"],
  ["0002", { type: T.vehicleIdentificationRequestEid, eid }, "02fd000200000006001a37bfee74"],
  ["0003", { type: T.vehicleIdentificationRequestVin, vin }, `02fd000300000011${vinHex}`],
  [
    "0004",
    {
      type: T.vehicleAnnouncement,
      vin,
      logicalAddress: 0x1000,
      eid,
      gid: eid,
      furtherAction: 0x10,
    },
    `02fd000400000020${vinHex}1000001a37bfee74001a37bfee7410`,
  ],
  [
    "0004 with sync status",
    {
      type: T.vehicleAnnouncement,
      vin,
      logicalAddress: 0x1000,
      eid,
      gid: eid,
      furtherAction: 0,
      syncStatus: 0x10,
    },
    `02fd000400000021${vinHex}1000001a37bfee74001a37bfee740010`,
  ],
  [
    "0005",
    { type: T.routingActivationRequest, source: 0x0e80, activationType: 0, reserved: 0 },
    "02fd0005000000070e800000000000",
  ],
  [
    "0005 with OEM data",
    {
      type: T.routingActivationRequest,
      source: 0x0e80,
      activationType: 0xe0,
      reserved: 0,
      oem: 0xdeadbeef,
    },
    "02fd00050000000b0e80e000000000deadbeef",
  ],
  [
    "0006",
    { type: T.routingActivationResponse, tester: 0x0e80, entity: 0x1000, code: 0x10, reserved: 0 },
    "02fd0006000000090e8010001000000000",
  ],
  [
    "0006 with OEM data",
    {
      type: T.routingActivationResponse,
      tester: 0x0e80,
      entity: 0x1000,
      code: 0x10,
      reserved: 0,
      oem: 1,
    },
    "02fd00060000000d0e801000100000000000000001",
  ],
  ["0007", { type: T.aliveCheckRequest }, "02fd000700000000"],
  ["0008", { type: T.aliveCheckResponse, source: 0x0e80 }, "02fd0008000000020e80"],
  ["4001", { type: T.entityStatusRequest }, "02fd400100000000"],
  [
    "4002",
    { type: T.entityStatusResponse, nodeType: 0, maxSockets: 4, openSockets: 1 },
    "02fd400200000003000401",
  ],
  [
    "4002 with data size",
    {
      type: T.entityStatusResponse,
      nodeType: 0,
      maxSockets: 4,
      openSockets: 1,
      maxDataSize: 0x10003,
    },
    "02fd40020000000700040100010003",
  ],
  ["4003", { type: T.powerModeRequest }, "02fd400300000000"],
  ["4004", { type: T.powerModeResponse, mode: 1 }, "02fd40040000000101"],
  [
    "8001",
    { type: T.diagnosticMessage, source: 0x0e80, target: 0x1001, userData: bytes("22f190") },
    "02fd8001000000070e80100122f190",
  ],
  [
    "8002",
    {
      type: T.diagnosticAck,
      source: 0x1001,
      target: 0x0e80,
      code: 0,
      previous: bytes("22f190"),
    },
    "02fd80020000000810010e800022f190",
  ],
  [
    "8003",
    { type: T.diagnosticNack, source: 0x1001, target: 0x0e80, code: 6, previous: bytes("") },
    "02fd80030000000510010e8006",
  ],
];

const everything: Acceptance = {
  versions: [2, 3],
  types: Object.values(PayloadType),
  maxPayload: 65_539,
};

describe("frames", () => {
  test.each(golden)("%s has its golden bytes", (_, message, hex) => {
    expect(hexOf(message)).toBe(hex);
  });

  test.each(golden)("%s comes back from its bytes", (_, message, hex) => {
    const frame = bytes(hex);
    const verdict = judgeHeader(frame.subarray(0, HEADER_LENGTH), everything);
    expect(verdict).toMatchObject({ kind: "accepted", version: 2, type: message.type });
    expect(decodePayload(message.type, frame.subarray(HEADER_LENGTH))).toEqual(message);
  });

  test("every payload type has a golden frame", () => {
    const covered = new Set(golden.map(([, message]) => message.type));
    expect([...covered].sort((a, b) => a - b)).toEqual(
      Object.values(PayloadType).sort((a, b) => a - b),
    );
  });

  test("the version goes out with its inverse", () => {
    expect(hexOf({ type: T.aliveCheckRequest }, 3)).toBe("03fc000700000000");
  });

  test.each(golden)("%s cut at any length is refused or is the shorter form", (_, message, hex) => {
    const payload = bytes(hex).subarray(HEADER_LENGTH);
    for (let length = 0; length < payload.length; length++) {
      expect(decodes(message.type, payload.subarray(0, length))).toBe(
        payloadCodecs[message.type].fits(length),
      );
    }
  });

  test("a length that the type does not have is refused from the header", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.values(PayloadType)),
        fc.nat(65_539),
        (type, length) => {
          const expected = payloadCodecs[type].fits(length)
            ? { kind: "accepted", version: 2, type, length }
            : { kind: "refused", fatal: true, code: HeaderNack.invalidPayloadLength, length };
          expect(judgeHeader(header(2, type, length), everything)).toEqual(expected);
        },
      ),
    );
  });

  test("payload bytes of any content of a fitting length decode, and encode to the same", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.values(PayloadType)),
        fc.uint8Array({ maxLength: 64 }),
        (type, payload) => {
          fc.pre(payloadCodecs[type].fits(payload.length));
          const [, ...parts] = encodeFrame(decodePayload(type, payload), 2);
          expect(Buffer.concat(parts)).toEqual(Buffer.from(payload));
        },
      ),
    );
  });
});

describe("the header handler", () => {
  const cases: readonly (readonly [
    name: string,
    header: Uint8Array,
    code: number,
    fatal: boolean,
  ])[] = [
    ["a wrong inverse version", bytes("02fc000700000000"), HeaderNack.incorrectPattern, true],
    ["a version nobody speaks", bytes("09f6000700000000"), HeaderNack.incorrectPattern, true],
    ["version FF on TCP", bytes("ff00000700000000"), HeaderNack.incorrectPattern, true],
    ["an unknown type", bytes("02fd800900000000"), HeaderNack.unknownPayloadType, false],
    ["a length of 4 GiB", bytes("02fd8001ffffffff"), HeaderNack.messageTooLarge, false],
    [
      "one byte too many",
      header(2, T.diagnosticMessage, 65_540),
      HeaderNack.messageTooLarge,
      false,
    ],
    [
      "too short for its type",
      header(2, T.diagnosticMessage, 4),
      HeaderNack.invalidPayloadLength,
      true,
    ],
    [
      "too long for its type",
      header(2, T.aliveCheckResponse, 3),
      HeaderNack.invalidPayloadLength,
      true,
    ],
    ["an unknown type too large", bytes("02fd8009ffffffff"), HeaderNack.unknownPayloadType, false],
  ];

  test.each(cases)("refuses %s", (_, bytes, code, fatal) => {
    expect(judgeHeader(bytes, everything)).toMatchObject({ kind: "refused", code, fatal });
  });

  test("a pattern is wrong unless the second byte is the first one's inverse", () => {
    fc.assert(
      fc.property(fc.nat(255), fc.nat(255), (version, inverse) => {
        const frame = bytes("0000000700000000");
        frame.set([version, inverse]);
        const right = (version === 2 || version === 3) && inverse === 255 - version;
        expect(judgeHeader(frame, everything).kind).toBe(right ? "accepted" : "refused");
      }),
    );
  });
});

function header(version: number, type: number, length: number): Uint8Array {
  const frame = Buffer.alloc(HEADER_LENGTH);
  frame.writeUInt8(version, 0);
  frame.writeUInt8(255 - version, 1);
  frame.writeUInt16BE(type, 2);
  frame.writeUInt32BE(length, 4);
  return frame;
}

/** @throws anything but the one error that a wrong length may cause */
function decodes(type: PayloadType, payload: Uint8Array): boolean {
  try {
    decodePayload(type, payload);
    return true;
  } catch (error) {
    if (error instanceof ByteError) return false;
    throw error;
  }
}
