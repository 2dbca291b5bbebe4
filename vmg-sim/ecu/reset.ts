import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import { negative, type EcuService, type SubFunctionRule } from "./runtime.ts";

const resets = new Map<number, SubFunctionRule>([
  [0x01, {}],
  [0x02, {}],
  [0x03, {}],
]);

/** 11: hard, key off/on and soft reset; each starts the ECU anew after its answer. */
export const ecuReset: EcuService = {
  sid: Sid.ecuReset,
  minLength: 2,
  subFunctions: () => resets,
  handle: (_, request) =>
    request.length === 2
      ? { kind: "reset", payload: Uint8Array.of((request[1] ?? 0) & 0x7f) }
      : negative(Nrc.incorrectMessageLength),
};
