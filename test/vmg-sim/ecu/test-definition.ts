import type { EcuDefinition } from "#config/ecu-definition.ts";

const onOff = { kind: "enum", values: { 0: "off", 1: "on" } } as const;
const byte = { kind: "uint", length: 1 } as const;

/** One of everything that an ECU's definition can have, small enough to be checked by eye. */
export const testDefinition: EcuDefinition = {
  ecu_type: "brake-controller",
  max_response: 300,
  security_levels: [
    { level: 1, name: "programming", max_attempts: 3, delay_ms: 10_000 },
    { level: 3, name: "workshop", max_attempts: 2, delay_ms: 30_000 },
  ],
  dids: [
    {
      did: 0x0300,
      name: "speed",
      codec: { kind: "uint", length: 2, scale: 0.01 },
      signal: { from: 0, to: 100, period_s: 10 },
    },
    { did: 0x0301, name: "lamp", codec: onOff, value: "off", write: {} },
    {
      did: 0x0302,
      name: "limit",
      codec: byte,
      value: 50,
      minimum: 10,
      maximum: 90,
      write: { sessions: ["extended"], level: 3 },
    },
    {
      did: 0x0303,
      name: "secret",
      codec: { kind: "hex", length: 4 },
      value: "01020304",
      read: { level: 3 },
    },
    {
      did: 0x0304,
      name: "valves",
      codec: {
        kind: "struct",
        fields: ["a", "b", "c"].map((name) => ({ name, codec: byte })),
      },
      fields: { a: { value: 1, maximum: 100 }, b: { value: 2 }, c: { value: 3 } },
    },
    { did: 0x0305, name: "note", codec: { kind: "ascii" }, value: "hi", write: {} },
    {
      did: 0x0306,
      name: "long",
      codec: { kind: "hex", length: 150 },
      value: "5a".repeat(150),
    },
    {
      did: 0x0307,
      name: "extendedOnly",
      codec: byte,
      value: 7,
      read: { sessions: ["extended"] },
    },
    { did: 0xf201, name: "first", codec: { kind: "hex", length: 2 }, value: "1234" },
    { did: 0xf202, name: "second", codec: { kind: "hex", length: 1 }, value: "aa" },
    {
      did: 0xf203,
      name: "third",
      codec: { kind: "hex", length: 1 },
      value: "bb",
      read: { level: 3 },
    },
    { did: 0xf204, name: "fourth", codec: byte, value: 4 },
  ],
  dtcs: [{ code: "C0035-11", text: "Wheel speed sensor", status: 0x2f }],
  rids: [
    {
      rid: 0x0400,
      name: "bleed",
      duration_ms: 3_000,
      background: true,
      answer: "0042",
      access: { sessions: ["extended"] },
    },
    {
      rid: 0x0401,
      name: "calibrate",
      option_length: 2,
      duration_ms: 0,
      background: false,
      answer: "00",
      access: { level: 3 },
    },
  ],
  controls: [
    { did: 0x0301, options: ["short_term_adjustment"] },
    {
      did: 0x0302,
      options: ["reset_to_default", "freeze_current_state", "short_term_adjustment"],
      access: { sessions: ["extended"] },
    },
    { did: 0x0304, options: ["reset_to_default", "short_term_adjustment"], access: { level: 3 } },
    { did: 0x0300, options: ["freeze_current_state"] },
  ],
  memory: [
    {
      name: "ram",
      address: 0x1000,
      length: 256,
      content: "00010203",
      read: {},
      write: { sessions: ["extended"], level: 3 },
    },
    {
      name: "log",
      address: 0x8000,
      length: 1_000,
      content: "aabbcc",
      upload: { sessions: ["extended"] },
    },
    { name: "locked", address: 0x9000, length: 512, content: "77", read: { level: 3 } },
  ],
  periodic: { max: 2, slow_ms: 1_000, medium_ms: 200, fast_ms: 50, response: "without_sid" },
};
