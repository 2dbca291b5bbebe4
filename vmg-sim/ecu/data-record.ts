import { Nrc } from "#protocol/uds/nrc.ts";
import { builtInRecord, isBuiltIn } from "./built-in-did.ts";
import { cutRecord, livingParts } from "./defined-did.ts";
import { memoryRefusal, readMemory } from "./memory.ts";
import { joinBytes, refusal, wave, type EcuRuntime } from "./runtime.ts";

/**
 * The NRC for a DID that may not be read now, be it that it is not there (31) or locked (33);
 * undefined for one that may. What is defined dynamically may be read like all it consists of.
 */
export function readRefusal(ecu: EcuRuntime, did: number): number | undefined {
  const sources = ecu.now.dynamicDids.get(did);
  if (sources !== undefined) {
    const refusals = sources.map((source) =>
      source.kind === "did" ? readRefusal(ecu, source.did) : memoryRefusal(ecu, "read", source),
    );
    return refusals.find((nrc) => nrc !== undefined);
  }
  const defined = ecu.config.dids.get(did);
  if (defined !== undefined) return refusal(ecu, defined.read);
  return readRecord(ecu, did) === undefined ? Nrc.requestOutOfRange : undefined;
}

/** The data record of a DID; undefined for one that the ECU does not have. */
export function readRecord(ecu: EcuRuntime, did: number): Uint8Array | undefined {
  const sources = ecu.now.dynamicDids.get(did);
  if (sources !== undefined) {
    return joinBytes(
      sources.map((source) => {
        if (source.kind === "memory") return readMemory(ecu, source);
        const record = readRecord(ecu, source.did) ?? new Uint8Array(0);
        return record.subarray(source.position, source.position + source.size);
      }),
    );
  }
  const defined = ecu.config.dids.get(did);
  const written = writtenRecord(ecu, did, defined?.length);
  if (defined === undefined)
    return isBuiltIn(did) ? (written ?? builtInRecord(ecu, did)) : undefined;
  const held = ecu.now.controls.get(did);
  const parts =
    written === undefined
      ? livingParts(defined, (periodS) => wave(ecu, periodS, did))
      : cutRecord(defined, written);
  return joinBytes(parts.map((part, at) => held?.get(at) ?? part));
}

/** What 2E has written; not what fits no more since the definition is another. */
function writtenRecord(
  { store }: EcuRuntime,
  did: number,
  length: number | undefined,
): Buffer | undefined {
  const hex = store.current.written[did.toString(16)];
  const record = hex === undefined ? undefined : Buffer.from(hex, "hex");
  return record?.length === (length ?? record?.length) ? record : undefined;
}
