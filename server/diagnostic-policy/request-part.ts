import { findService, Sid, SUPPRESS_POSITIVE } from "#protocol/uds/service.ts";

/** A value in a request. `open`: it may stand for any other, too, so nobody can say what it touches. */
export interface Identifier {
  is: number | undefined;
  open: boolean;
}

/** One thing that a request asks for: a service, and what of it as far as it has such. */
export interface RequestPart {
  service: Identifier;
  subFunction?: Identifier;
  did?: Identifier;
  rid?: Identifier;
  /** What comes to the same by another way: memory that is read may hold the data of any DID. */
  sameAs?: RequestPart;
}

const ANY: Identifier = { is: undefined, open: true };
const exactly = (value: number): Identifier => ({ is: value, open: false });

const READ_SCALING = 0x24;
const READ_PERIODIC = 0x2a;
const DEFINE_DID = 0x2c;
const CONTROL_IO = 0x2f;

/** Services with one data identifier behind the service id. */
const oneDid: ReadonlySet<number> = new Set([READ_SCALING, Sid.writeDataByIdentifier, CONTROL_IO]);

/** Services that name data identifiers, with those that name many. */
export const didServices: ReadonlySet<number> = new Set([
  ...oneDid,
  Sid.readDataByIdentifier,
  READ_PERIODIC,
  DEFINE_DID,
]);

const anyRead: RequestPart = { service: exactly(Sid.readDataByIdentifier), did: ANY };
const anyWrite: RequestPart = { service: exactly(Sid.writeDataByIdentifier), did: ANY };

/** Ways around the data identifiers: by address or file, or with another request inside. */
const detours: ReadonlyMap<number, RequestPart> = new Map([
  [0x23, anyRead],
  [0x35, anyRead],
  [0x38, anyRead],
  [0x3d, anyWrite],
  [Sid.requestDownload, anyWrite],
  [0x84, { service: ANY, subFunction: ANY, did: ANY, rid: ANY }],
  [0x86, { service: ANY, subFunction: ANY, did: ANY, rid: ANY }],
]);

/**
 * What a request asks for, part by part: one for every data identifier. Whatever is cut short or
 * left out is open.
 */
export function requestParts(request: Uint8Array): RequestPart[] {
  const [sid] = request;
  if (sid === undefined) return [{ service: ANY, subFunction: ANY, did: ANY, rid: ANY }];
  const service = exactly(sid);
  if (sid === Sid.readDataByIdentifier) {
    return identifiers(request, 1, 2).map((did) => ({ service, did: readable(did) }));
  }
  if (sid === READ_PERIODIC) return periodicParts(request);
  if (sid === DEFINE_DID) return definitionParts(request);
  if (oneDid.has(sid)) return [{ service, did: identifierAt(request, 1) }];
  const subFunction = subFunctionOf(request, sid);
  if (sid === Sid.routineControl)
    return [{ service, ...subFunction, rid: identifierAt(request, 2) }];
  const sameAs = detours.get(sid);
  return [{ service, ...subFunction, ...(sameAs && { sameAs }) }];
}

/** A part as people write it: `22 F190`, `31 01 0203`. */
export function partText({ service, subFunction, did, rid }: RequestPart): string {
  const hex = (identifier: Identifier | undefined, digits: number) =>
    identifier?.is === undefined
      ? []
      : [identifier.is.toString(16).toUpperCase().padStart(digits, "0")];
  const parts = [...hex(service, 2), ...hex(subFunction, 2), ...hex(did, 4), ...hex(rid, 4)];
  return parts.join(" ") || "an empty request";
}

/** Of a service that nobody knows, the byte is taken as it is and may be anything else as well. */
function subFunctionOf(request: Uint8Array, sid: number): { subFunction?: Identifier } {
  const known = findService(sid);
  if (known !== undefined && known.subFunctions === undefined) return {};
  const [, byte] = request;
  if (byte === undefined) return { subFunction: ANY };
  if (known === undefined) return { subFunction: { is: byte, open: true } };
  return { subFunction: exactly(byte & ~SUPPRESS_POSITIVE) };
}

/** 2A: the low bytes of F200 to F2FF behind the transmission mode. */
function periodicParts(request: Uint8Array): RequestPart[] {
  const low = [...request.subarray(2)];
  const dids = low.length === 0 ? [ANY] : low.map((byte) => readable(exactly(0xf200 | byte)));
  return dids.map((did) => ({
    service: exactly(READ_PERIODIC),
    did,
    sameAs: { service: exactly(Sid.readDataByIdentifier), did },
  }));
}

/** 2C: what a data identifier is defined as can be read by it. */
function definitionParts(request: Uint8Array): RequestPart[] {
  const service = exactly(DEFINE_DID);
  const { subFunction = ANY } = subFunctionOf(request, DEFINE_DID);
  const target = identifierAt(request, 2);
  if (subFunction.is === 0x03) return [{ service, subFunction, did: target }];
  const defined: RequestPart = { service, subFunction, did: target };
  if (subFunction.is !== 0x01) return [{ ...defined, sameAs: anyRead }];
  // Source identifier, position and size, again and again.
  const sources = identifiers(request, 4, 4).map((did) => ({
    service,
    subFunction,
    did,
    sameAs: { service: exactly(Sid.readDataByIdentifier), did: readable(did) },
  }));
  return [defined, ...sources];
}

/** F200 to F3FF are whatever somebody has defined them as by 2C (ISO 14229-1, annex C). */
function readable(did: Identifier): Identifier {
  const isDefined = did.is !== undefined && did.is >= 0xf200 && did.is <= 0xf3ff;
  return isDefined ? { is: did.is, open: true } : did;
}

/** Two-byte identifiers from `start` on, one every `step` bytes; open where one is cut, or none is. */
function identifiers(request: Uint8Array, start: number, step: number): Identifier[] {
  const whole = new Set<number>();
  let at = start;
  for (; at + step <= request.length; at += step) {
    whole.add(((request[at] ?? 0) << 8) | (request[at + 1] ?? 0));
  }
  const isCut = at < request.length || whole.size === 0;
  return [...[...whole].map(exactly), ...(isCut ? [ANY] : [])];
}

function identifierAt(request: Uint8Array, at: number): Identifier {
  const [high, low] = request.subarray(at, at + 2);
  return high === undefined || low === undefined ? ANY : exactly((high << 8) | low);
}
