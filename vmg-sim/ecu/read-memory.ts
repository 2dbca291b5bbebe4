import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import { memoryRangeAt, memoryRefusal, readMemory } from "./memory.ts";
import { negative, positive, type EcuService } from "./runtime.ts";

/** 23: the bytes of a region that the definition opens for reading. */
export const readMemoryByAddress: EcuService = {
  sid: Sid.readMemoryByAddress,
  minLength: 4,
  handle(ecu, request) {
    const found = memoryRangeAt(request, 1);
    if (typeof found === "number") return negative(found);
    const { range, rest } = found;
    if (rest.length > 0) return negative(Nrc.incorrectMessageLength);
    const refused = memoryRefusal(ecu, "read", range);
    if (refused !== undefined) return negative(refused);
    if (1 + range.size > ecu.config.definition.max_response) return negative(Nrc.requestOutOfRange);
    return positive(readMemory(ecu, range));
  },
};
