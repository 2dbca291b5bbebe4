import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import { readRecord, readRefusal } from "./data-record.ts";
import { fieldSizes, memoryRangeAt, memoryRefusal } from "./memory.ts";
import { PERIODIC_DIDS, stopPeriodic } from "./periodic.ts";
import {
  negative,
  positive,
  u16At,
  u16Bytes,
  type DynamicSource,
  type EcuRuntime,
  type EcuService,
  type Outcome,
  type SubFunctionRule,
} from "./runtime.ts";

const Definition = { byIdentifier: 0x01, byMemoryAddress: 0x02, clear: 0x03 } as const;

const definitions = new Map<number, SubFunctionRule>(
  Object.values(Definition).map((id) => [id, {}]),
);

/** F2xx may be read periodically, F3xx are kept free for definitions (ISO 14229-1, annex C). */
const DYNAMIC_DIDS = 0xf300;

const MAX_DEFINED = 16;
const MAX_SOURCES = 32;
const MAX_RECORD = 255;

/** DID, position and size of a source. */
const SOURCE_LENGTH = 4;

/**
 * 2C: a tester composes DIDs of parts of others and of memory, for 22 and 2A. A second definition
 * of the same DID adds to it. They last until they are cleared, and to the next default session.
 */
export const dynamicDid: EcuService = {
  sid: Sid.dynamicallyDefineDataIdentifier,
  minLength: 2,
  subFunctions: () => definitions,
  handle(ecu, request) {
    const definition = (request[1] ?? 0) & 0x7f;
    if (definition === Definition.clear) return clear(ecu, request);
    if (request.length < 8) return negative(Nrc.incorrectMessageLength);
    const sources =
      definition === Definition.byIdentifier
        ? identifierSources(request.subarray(4))
        : memorySources(request.subarray(4));
    return typeof sources === "number" ? negative(sources) : define(ecu, request, sources);
  },
};

function define(ecu: EcuRuntime, request: Uint8Array, sources: readonly DynamicSource[]): Outcome {
  const did = u16At(request, 2);
  const { dynamicDids, periodic } = ecu.now;
  const known = dynamicDids.get(did) ?? [];
  const all = [...known, ...sources];
  const isFull = known.length === 0 && dynamicDids.size >= MAX_DEFINED;
  const length = all.reduce((sum, { size }) => sum + size, 0);
  if (!mayBeDefined(ecu, did) || isFull || all.length > MAX_SOURCES || length > MAX_RECORD) {
    return negative(Nrc.requestOutOfRange);
  }
  for (const source of sources) {
    const refused = sourceRefusal(ecu, source);
    if (refused !== undefined) return negative(refused);
  }
  if ((did & 0xff00) === PERIODIC_DIDS && periodic.entries.has(did & 0xff)) {
    return negative(Nrc.conditionsNotCorrect);
  }
  dynamicDids.set(did, all);
  return positive((request[1] ?? 0) & 0x7f, u16Bytes(did));
}

function clear(ecu: EcuRuntime, request: Uint8Array): Outcome {
  const { dynamicDids } = ecu.now;
  if (request.length === 2) {
    clearDynamicDids(ecu);
    return positive(Definition.clear);
  }
  if (request.length !== 4) return negative(Nrc.incorrectMessageLength);
  const did = u16At(request, 2);
  if (!mayBeDefined(ecu, did)) return negative(Nrc.requestOutOfRange);
  if (dynamicDids.delete(did)) stopPeriodic(ecu, did);
  return positive(Definition.clear, u16Bytes(did));
}

/** Forgets all definitions; what was sent of them ends. */
export function clearDynamicDids(ecu: EcuRuntime): void {
  for (const did of ecu.now.dynamicDids.keys()) stopPeriodic(ecu, did);
  ecu.now.dynamicDids.clear();
}

function mayBeDefined({ config }: EcuRuntime, did: number): boolean {
  const range = did & 0xff00;
  return (range === PERIODIC_DIDS || range === DYNAMIC_DIDS) && !config.dids.has(did);
}

function identifierSources(bytes: Uint8Array): DynamicSource[] | number {
  if (bytes.length % SOURCE_LENGTH !== 0) return Nrc.incorrectMessageLength;
  return Array.from({ length: bytes.length / SOURCE_LENGTH }, (_, index) => {
    const at = SOURCE_LENGTH * index;
    // On the wire the first byte of a record has position 1.
    const position = (bytes[at + 2] ?? 0) - 1;
    return { kind: "did", did: u16At(bytes, at), position, size: bytes[at + 3] ?? 0 };
  });
}

function memorySources(bytes: Uint8Array): DynamicSource[] | number {
  const sizes = fieldSizes(bytes[0] ?? 0);
  if (sizes === undefined) return Nrc.requestOutOfRange;
  const step = sizes.address + sizes.size;
  if (bytes.length === 1 || (bytes.length - 1) % step !== 0) return Nrc.incorrectMessageLength;
  const sources: DynamicSource[] = [];
  for (let at = 1; at < bytes.length; at += step) {
    const entry = Buffer.concat([bytes.subarray(0, 1), bytes.subarray(at, at + step)]);
    const found = memoryRangeAt(entry, 0);
    if (typeof found === "number") return found;
    sources.push({ kind: "memory", ...found.range });
  }
  return sources;
}

/** A source is there, may be read, and reaches so far; one that is defined dynamically is none. */
function sourceRefusal(ecu: EcuRuntime, source: DynamicSource): number | undefined {
  if (source.kind === "memory") return memoryRefusal(ecu, "read", source);
  const { did, position, size } = source;
  if (ecu.now.dynamicDids.has(did)) return Nrc.requestOutOfRange;
  const refused = readRefusal(ecu, did);
  if (refused !== undefined) return refused;
  const { length } = readRecord(ecu, did) ?? new Uint8Array(0);
  return position < 0 || size === 0 || position + size > length ? Nrc.requestOutOfRange : undefined;
}
