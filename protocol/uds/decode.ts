import { toHex } from "#protocol/bytes/hex.ts";
import { findDid } from "./did.ts";
import type { DidValue } from "./did-codec.ts";
import { findDtc, standardCatalogue } from "./catalogue.ts";
import { DTC_LENGTH, dtcStatusNames, dtcText } from "./dtc.ts";
import { describeNrc } from "./nrc.ts";
import { relate } from "./response.ts";
import { findService, Sid, SUPPRESS_POSITIVE } from "./service.ts";

/** An identifier as people write it (`0xF190`) with its name; `unknown` when it has none. */
export interface Named {
  id: string;
  name: string;
}

export interface DecodedValue {
  did?: string;
  name: string;
  value: DidValue;
  unit?: string;
  /** The record's bytes in hex. */
  raw: string;
}

export interface DecodedDtc {
  code: string;
  raw: string;
  description?: string;
  /** Status byte in hex, and its bits by name. */
  status: string;
  status_bits: string[];
}

/** A request and its answer, for operators. */
export interface DecodedExchange {
  service: Named;
  sub_function?: Named;
  did?: Named;
  rid?: Named;
  outcome: "positive" | "negative" | "pending" | "unrelated" | "none";
  nrc?: { code: string; name: string; meaning: string; try: string };
  values?: DecodedValue[];
  dtcs?: DecodedDtc[];
  request: string;
  response?: string;
}

/** Decodes what it can; bytes it does not know stay raw hex. Never throws. */
export function decodeExchange(request: Uint8Array, response?: Uint8Array): DecodedExchange {
  const sid = request[0] ?? 0;
  const decoded: DecodedExchange = {
    service: named(sid, 1, findService(sid)?.name),
    ...describeRequest(request),
    outcome: "none",
    request: toHex(request),
  };
  if (response === undefined || response.length === 0) return decoded;
  const relation = relate(request, response);
  const answered: DecodedExchange = {
    ...decoded,
    outcome: relation.kind,
    response: toHex(response),
  };
  if (relation.kind === "positive") return { ...answered, ...describePositive(request, response) };
  if (relation.kind === "unrelated") return answered;
  const { code, ...words } = describeNrc(response[2] ?? 0);
  return { ...answered, nrc: { code: hexId(code, 1), ...words } };
}

function describeRequest(
  request: Uint8Array,
): Pick<DecodedExchange, "sub_function" | "did" | "rid"> {
  const sid = request[0] ?? 0;
  const subFunctions = findService(sid)?.subFunctions;
  const byte = request[1];
  const subFunction = byte === undefined ? undefined : byte & ~SUPPRESS_POSITIVE;
  const did = carriesDid(sid) ? u16(request, 1) : undefined;
  const rid = sid === Sid.routineControl ? u16(request, 2) : undefined;
  return {
    ...(subFunctions !== undefined &&
      subFunction !== undefined && {
        sub_function: named(subFunction, 1, subFunctions.get(subFunction)),
      }),
    ...(did !== undefined && { did: named(did, 2, findDid(did)?.name) }),
    ...(rid !== undefined && { rid: named(rid, 2, standardCatalogue.rids.get(rid)?.name) }),
  };
}

const carriesDid = (sid: number) =>
  sid === Sid.readDataByIdentifier ||
  sid === Sid.writeDataByIdentifier ||
  sid === 0x24 ||
  sid === 0x2f;

type Described = Pick<DecodedExchange, "values" | "dtcs">;

const positiveDecoders = new Map<number, (request: Uint8Array, response: Uint8Array) => Described>([
  [Sid.diagnosticSessionControl, (_, response) => describeSession(response)],
  [Sid.readDtcInformation, (_, response) => describeDtcs(response)],
  [Sid.readDataByIdentifier, (request, response) => ({ values: describeDids(request, response) })],
  [Sid.securityAccess, (_, response) => describeRest("seed", response, 2)],
  [Sid.routineControl, (_, response) => describeRest("routineStatusRecord", response, 4)],
  [Sid.requestDownload, (_, response) => describeDownload(response)],
]);

function describePositive(request: Uint8Array, response: Uint8Array): Described {
  return positiveDecoders.get(request[0] ?? 0)?.(request, response) ?? {};
}

/** `50 sf P2 P2*`: P2 in ms, P2* in units of 10 ms. */
function describeSession(response: Uint8Array): Described {
  const p2 = u16(response, 2);
  const p2Star = u16(response, 4);
  if (p2 === undefined || p2Star === undefined) return {};
  return {
    values: [
      { name: "P2", value: p2, unit: "ms", raw: toHex(response.subarray(2, 4)) },
      { name: "P2*", value: p2Star * 10, unit: "ms", raw: toHex(response.subarray(4, 6)) },
    ],
  };
}

function describeDownload(response: Uint8Array): Described {
  const record = response.subarray(2);
  if (record.length === 0 || record.length > 4) return {};
  const value = record.reduce((sum, byte) => sum * 256 + byte, 0);
  return { values: [{ name: "maxNumberOfBlockLength", value, unit: "bytes", raw: toHex(record) }] };
}

function describeRest(name: string, response: Uint8Array, from: number): Described {
  const raw = toHex(response.subarray(from));
  return raw === "" ? {} : { values: [{ name, value: raw, raw }] };
}

const REPORT_NUMBER = 0x01;
const REPORT_LISTS = [0x02, 0x0a, 0x15];

function describeDtcs(response: Uint8Array): Described {
  const report = response[1] ?? 0;
  if (report === REPORT_NUMBER) {
    const count = u16(response, 4);
    if (count === undefined) return {};
    return { values: [{ name: "DTCCount", value: count, raw: toHex(response.subarray(4, 6)) }] };
  }
  if (!REPORT_LISTS.includes(report)) return {};
  const dtcs: DecodedDtc[] = [];
  for (let at = 3; at + DTC_LENGTH < response.length; at += DTC_LENGTH + 1) {
    const bytes = response.subarray(at, at + DTC_LENGTH);
    dtcs.push(describeDtc(bytes, response[at + DTC_LENGTH] ?? 0));
  }
  return { dtcs };
}

function describeDtc(bytes: Uint8Array, status: number): DecodedDtc {
  const dtc = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  const description = findDtc(standardCatalogue, dtc)?.text;
  return {
    code: dtcText(dtc),
    raw: toHex(bytes),
    ...(description !== undefined && { description }),
    status: hexId(status, 1),
    status_bits: dtcStatusNames(status),
  };
}

/**
 * `62 (DID record)…` carries no lengths: a record ends where its codec says, or else where the next
 * DID that was asked for begins, provided that can only be one place.
 */
function describeDids(request: Uint8Array, response: Uint8Array): DecodedValue[] {
  const asked: number[] = [];
  for (let at = 1; at + 1 < request.length; at += 2) asked.push(u16(request, at) ?? 0);
  const values: DecodedValue[] = [];
  let at = 1;
  for (const [index, did] of asked.entries()) {
    if (u16(response, at) !== did) break;
    const end = endOfRecord(response, at + 2, did, asked[index + 1]);
    values.push(describeDid(did, response.subarray(at + 2, end)));
    at = end;
  }
  if (at < response.length) {
    const raw = toHex(response.subarray(at));
    values.push({ name: "undecoded", value: raw, raw });
  }
  return values;
}

function endOfRecord(
  response: Uint8Array,
  start: number,
  did: number,
  next: number | undefined,
): number {
  if (next === undefined) return response.length;
  const length = findDid(did)?.codec.length;
  if (length !== undefined) return Math.min(start + length, response.length);
  const places: number[] = [];
  for (let at = start; at + 1 < response.length; at++) {
    if (u16(response, at) === next) places.push(at);
  }
  return places.length === 1 ? (places[0] ?? response.length) : response.length;
}

function describeDid(did: number, record: Uint8Array): DecodedValue {
  const entry = findDid(did);
  const raw = toHex(record);
  const value = entry?.codec.decode(record);
  const unit = entry?.codec.unit;
  return {
    did: hexId(did, 2),
    name: entry?.name ?? "unknown",
    value: value ?? raw,
    ...(value !== undefined && unit !== undefined && { unit }),
    raw,
  };
}

function u16(bytes: Uint8Array, at: number): number | undefined {
  const high = bytes[at];
  const low = bytes[at + 1];
  return high === undefined || low === undefined ? undefined : high * 256 + low;
}

function named(id: number, length: number, name: string | undefined): Named {
  return { id: hexId(id, length), name: name ?? "unknown" };
}

function hexId(id: number, length: number): string {
  return `0x${id
    .toString(16)
    .toUpperCase()
    .padStart(2 * length, "0")}`;
}
