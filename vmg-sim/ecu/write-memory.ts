import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import { memoryRangeAt, memoryRefusal, writeMemory } from "./memory.ts";
import { negative, positive, type EcuService } from "./runtime.ts";

/** 3D: writes a region that the definition opens for it; a reset brings back what was there. */
export const writeMemoryByAddress: EcuService = {
  sid: Sid.writeMemoryByAddress,
  minLength: 5,
  handle(ecu, request) {
    const found = memoryRangeAt(request, 1);
    if (typeof found === "number") return negative(found);
    const { range, rest } = found;
    if (rest.length !== range.size || rest.length === 0) {
      return negative(Nrc.incorrectMessageLength);
    }
    const refused = memoryRefusal(ecu, "write", range);
    if (refused !== undefined) return negative(refused);
    writeMemory(ecu, range, rest);
    return positive(request.subarray(1, request.length - rest.length));
  },
};
