import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import { negative, positive, type EcuService } from "./runtime.ts";

/** 3E: keeps the session from running out. */
export const testerPresent: EcuService = {
  sid: Sid.testerPresent,
  minLength: 2,
  subFunctions: () => new Map([[0x00, {}]]),
  handle: (_, request) =>
    request.length === 2 ? positive(0x00) : negative(Nrc.incorrectMessageLength),
};
