import { toHex } from "#protocol/bytes/hex.ts";
import { standardCatalogue, type Catalogue } from "./catalogue.ts";
import { describeDtcReport, type DecodedDtc } from "./decoded-dtc.ts";
import {
  describeRecord,
  fieldReader,
  hexId,
  named,
  u16,
  type DecodedValue,
  type MessageContext,
  type Named,
} from "./decoded-fields.ts";
import { requestLayouts, responseLayouts } from "./decoded-services.ts";
import { describeNrc } from "./nrc.ts";
import { relate } from "./response.ts";
import { findService, Sid, subFunctionName, SUPPRESS_POSITIVE } from "./service.ts";

/** A request and its answer, for operators. */
export interface DecodedExchange {
  service: Named;
  sub_function?: Named;
  /** Of 27, where the level has a name. */
  security_level?: string;
  did?: Named;
  /** Where several are read at once. */
  dids?: Named[];
  rid?: Named;
  outcome: "positive" | "negative" | "pending" | "unrelated" | "none";
  nrc?: { code: string; name: string; meaning: string; try: string };
  /** What else the request says. */
  request_values?: DecodedValue[];
  /** What the answer says. */
  values?: DecodedValue[];
  dtcs?: DecodedDtc[];
  request: string;
  response?: string;
}

/**
 * Decodes what it can by the services of ISO 14229-1 and a catalogue; bytes that are in neither stay
 * raw hex. Never throws.
 */
export function decodeExchange(
  request: Uint8Array,
  response?: Uint8Array,
  catalogue: Catalogue = standardCatalogue,
): DecodedExchange {
  const sid = request[0] ?? 0;
  const context: MessageContext = {
    request,
    subFunction: (request[1] ?? 0) & ~SUPPRESS_POSITIVE,
    catalogue,
  };
  const decoded: DecodedExchange = {
    service: named(sid, 1, findService(sid)?.name),
    ...describeRequest(context),
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
  if (relation.kind === "positive") return { ...answered, ...describePositive(response, context) };
  if (relation.kind === "unrelated") return answered;
  const { code, ...words } = describeNrc(response[2] ?? 0);
  return { ...answered, nrc: { code: hexId(code, 1), ...words } };
}

function describeRequest(context: MessageContext): Partial<DecodedExchange> {
  const { request, subFunction, catalogue } = context;
  const sid = request[0] ?? 0;
  const hasSubFunction = findService(sid)?.subFunctions !== undefined && request.length > 1;
  const [did, ...others] = askedDids(request).map((id) =>
    named(id, 2, catalogue.dids.get(id)?.name),
  );
  const rid = sid === Sid.routineControl ? u16(request, 2) : undefined;
  const level = sid === Sid.securityAccess ? (subFunction - 1) | 1 : 0;
  const security_level = catalogue.securityLevels.get(level);
  const fields = fieldReader(request.subarray(headOf(sid)));
  requestLayouts.get(sid)?.(fields, context);
  const values = requestLayouts.has(sid) ? fields.end() : [];
  return {
    ...(hasSubFunction && {
      sub_function: named(subFunction, 1, subFunctionName(sid, subFunction)),
    }),
    ...(security_level !== undefined && { security_level }),
    ...(did !== undefined && { did }),
    ...(did !== undefined && others.length > 0 && { dids: [did, ...others] }),
    ...(rid !== undefined && { rid: named(rid, 2, catalogue.rids.get(rid)?.name) }),
    ...(values.length > 0 && { request_values: values }),
  };
}

/** More of them are not asked for at once; the request beside it shows them all. */
const MAX_DIDS = 256;

function askedDids(request: Uint8Array): number[] {
  const sid = request[0] ?? 0;
  if (!carriesDid.includes(sid)) return [];
  const count = sid === Sid.readDataByIdentifier ? MAX_DIDS : 1;
  const dids: number[] = [];
  for (let at = 1; at + 1 < request.length && dids.length < count; at += 2) {
    dids.push(u16(request, at) ?? 0);
  }
  return dids;
}

const carriesDid: readonly number[] = [
  Sid.readDataByIdentifier,
  Sid.writeDataByIdentifier,
  0x24,
  0x2f,
];

/** Bytes of SID, sub-function and identifier, which are described by themselves. */
function headOf(sid: number): number {
  if (sid === Sid.routineControl) return 4;
  if (carriesDid.includes(sid)) return 3;
  return findService(sid)?.subFunctions === undefined ? 1 : 2;
}

function describePositive(
  response: Uint8Array,
  context: MessageContext,
): Pick<DecodedExchange, "values" | "dtcs"> {
  const sid = context.request[0] ?? 0;
  if (sid === Sid.readDataByIdentifier) return { values: describeDids(response, context) };
  const fields = fieldReader(response.subarray(headOf(sid)));
  const isReport = sid === Sid.readDtcInformation;
  const dtcs = isReport ? describeDtcReport(fields, context) : undefined;
  const layout = responseLayouts.get(sid);
  if (layout === undefined && !isReport) return {};
  layout?.(fields, context);
  const values = fields.end();
  return { ...(values.length > 0 && { values }), ...(dtcs && { dtcs }) };
}

/**
 * `62 (DID record)…` carries no lengths: a record ends where its codec says, or else where the next
 * DID that was asked for begins, provided that can only be one place. DIDs that the ECU does not
 * have may be missing.
 */
function describeDids(
  response: Uint8Array,
  { request, catalogue }: MessageContext,
): DecodedValue[] {
  const asked = askedDids(request);
  const values: DecodedValue[] = [];
  let at = 1;
  for (const [index, did] of asked.entries()) {
    if (u16(response, at) !== did) continue;
    const entry = catalogue.dids.get(did);
    const end = endOfRecord(response, at + 2, entry?.codec.length, asked.slice(index + 1));
    const record = response.subarray(at + 2, end);
    const value = describeRecord(entry?.name ?? "unknown", entry?.codec, record);
    values.push({ did: hexId(did, 2), ...value });
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
  length: number | undefined,
  later: readonly number[],
): number {
  if (later.length === 0) return response.length;
  if (length !== undefined) return Math.min(start + length, response.length);
  for (const next of later) {
    const places: number[] = [];
    for (let at = start; at + 1 < response.length && places.length < 2; at++) {
      if (u16(response, at) === next) places.push(at);
    }
    if (places.length > 0) return places.length === 1 ? (places[0] ?? 0) : response.length;
  }
  return response.length;
}
