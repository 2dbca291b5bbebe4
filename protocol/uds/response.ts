import { describeNrc, Nrc } from "./nrc.ts";
import { findService, POSITIVE_OFFSET, Sid, SUPPRESS_POSITIVE } from "./service.ts";

/** `7F SID NRC`. */
export function negativeResponse(sid: number, nrc: number): Uint8Array {
  return Uint8Array.of(Sid.negativeResponse, sid, nrc);
}

export type ResponseKind =
  | { kind: "positive" }
  | { kind: "negative"; nrc: number }
  /** 7F … 78: the final answer follows. */
  | { kind: "pending" }
  /** Belongs to another request, or is no response at all. */
  | { kind: "unrelated" };

/** What a received message is to a request. */
export function relate(request: Uint8Array, response: Uint8Array): ResponseKind {
  const sid = request[0];
  if (sid === undefined) return { kind: "unrelated" };
  if (response[0] === Sid.negativeResponse) {
    const nrc = response[2];
    if (response.length !== 3 || response[1] !== sid || nrc === undefined) {
      return { kind: "unrelated" };
    }
    return nrc === Nrc.responsePending ? { kind: "pending" } : { kind: "negative", nrc };
  }
  return response[0] === ((sid + POSITIVE_OFFSET) & 0xff) && repeatsRequest(request, response)
    ? { kind: "positive" }
    : { kind: "unrelated" };
}

/** A late answer to an earlier request of the same service differs in the bytes it repeats. */
function repeatsRequest(request: Uint8Array, response: Uint8Array): boolean {
  const service = findService(request[0] ?? 0);
  const echoes = service?.echoes ?? 0;
  for (let i = 1; i <= echoes && i < request.length; i++) {
    const isSubFunction = i === 1 && service?.subFunctions !== undefined;
    const expected = isSubFunction ? (request[i] ?? 0) & ~SUPPRESS_POSITIVE : request[i];
    if (response[i] !== expected) return false;
  }
  return true;
}

/** The ECU answered no. `wireCode` is the NRC. */
export class NegativeResponseError extends Error {
  readonly code = "UDS_NEGATIVE_RESPONSE";
  readonly sid: number;
  readonly wireCode: number;

  constructor(sid: number, nrc: number) {
    const { name } = describeNrc(nrc);
    const service = findService(sid)?.name ?? `service 0x${sid.toString(16)}`;
    super(`${service} refused with NRC 0x${nrc.toString(16).padStart(2, "0")} ${name}`);
    this.name = "NegativeResponseError";
    this.sid = sid;
    this.wireCode = nrc;
  }
}

/** The response is neither positive nor negative to its request, or lacks what it must carry. */
export class UnexpectedResponseError extends Error {
  readonly code = "UDS_UNEXPECTED_RESPONSE";

  constructor(sid: number, detail: string) {
    super(`${findService(sid)?.name ?? `service 0x${sid.toString(16)}`}: ${detail}`);
    this.name = "UnexpectedResponseError";
  }
}

/**
 * The bytes after the SID of a positive response.
 * @throws NegativeResponseError, UnexpectedResponseError
 */
export function positivePayload(request: Uint8Array, response: Uint8Array): Uint8Array {
  const sid = request[0] ?? 0;
  const relation = relate(request, response);
  if (relation.kind === "negative") throw new NegativeResponseError(sid, relation.nrc);
  if (relation.kind !== "positive") {
    throw new UnexpectedResponseError(
      sid,
      `an answer of ${response.length} bytes to something else`,
    );
  }
  return response.subarray(1);
}

const silentWhenFunctional: readonly number[] = [
  Nrc.serviceNotSupported,
  Nrc.subFunctionNotSupported,
  Nrc.requestOutOfRange,
  Nrc.subFunctionNotSupportedInActiveSession,
  Nrc.serviceNotSupportedInActiveSession,
];

/**
 * Whether an answer is not worth sending when everybody was asked, unless a 78 has announced it
 * (ISO 14229-1, functional addressing).
 */
export function isSilentWhenFunctional(response: Uint8Array): boolean {
  const [sid, , nrc] = response;
  return sid === Sid.negativeResponse && nrc !== undefined && silentWhenFunctional.includes(nrc);
}
