import { Nrc } from "#protocol/uds/nrc.ts";
import { encodeMaxBlockLength } from "#protocol/uds/programming.ts";
import { Sid } from "#protocol/uds/service.ts";
import { memoryRangeAt, memoryRefusal, readMemory } from "./memory.ts";
import { negative, nonDefaultSessions, positive, type EcuService } from "./runtime.ts";

/** The bytes as they are: neither compressed nor encrypted. */
const PLAIN = 0x00;

/** 35: begins to send a region that the definition opens for it, as it is at that moment. */
export const requestUpload: EcuService = {
  sid: Sid.requestUpload,
  sessions: nonDefaultSessions,
  minLength: 5,
  handle(ecu, request) {
    const found = memoryRangeAt(request, 2);
    if (typeof found === "number") return negative(found);
    const { range, rest } = found;
    if (rest.length > 0) return negative(Nrc.incorrectMessageLength);
    if (request[1] !== PLAIN) return negative(Nrc.requestOutOfRange);
    const refused = memoryRefusal(ecu, "upload", range);
    if (refused !== undefined) return negative(refused);
    if (ecu.now.transfer !== undefined) return negative(Nrc.conditionsNotCorrect);
    ecu.now.transfer = { direction: "upload", data: readMemory(ecu, range), blocks: 0 };
    return positive(encodeMaxBlockLength(ecu.config.max_block_length));
  },
};
