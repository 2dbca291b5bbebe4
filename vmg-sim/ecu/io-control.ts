import type { EcuControl } from "#config/ecu-definition.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import { readRecord } from "./data-record.ts";
import { cutRecord, defaultParts, isRecord, type DefinedDid } from "./defined-did.ts";
import {
  negative,
  nonDefaultSessions,
  positive,
  refusal,
  u16At,
  u16Bytes,
  type EcuRuntime,
  type EcuService,
} from "./runtime.ts";

const RETURN_CONTROL = 0x00;
const ADJUST = 0x03;

const options: readonly (EcuControl["options"][number] | undefined)[] = [
  undefined,
  "reset_to_default",
  "freeze_current_state",
  "short_term_adjustment",
];

const HEAD = 4;

/**
 * 2F: a tester takes over the value of a DID, or those fields of it that the mask names, until it
 * returns control or its session ends. Only a DID of several fields has a mask, and always has.
 */
export const ioControl: EcuService = {
  sid: Sid.inputOutputControlByIdentifier,
  sessions: nonDefaultSessions,
  minLength: HEAD,
  handle(ecu, request) {
    const id = u16At(request, 1);
    const option = request[3] ?? 0;
    const did = ecu.config.dids.get(id);
    const control = controlOf(ecu, id);
    if (did === undefined || control === undefined) return negative(Nrc.requestOutOfRange);
    const refused = refusal(ecu, control.access);
    if (refused !== undefined) return negative(refused);
    const name = options[option];
    if (option !== RETURN_CONTROL && (name === undefined || !control.options.includes(name))) {
      return negative(Nrc.requestOutOfRange);
    }
    const count = did.parts.length;
    const stateLength = option === ADJUST ? (did.length ?? 0) : 0;
    const maskLength = count > 1 ? Math.ceil(count / 8) : 0;
    if (request.length !== HEAD + stateLength + maskLength) {
      return negative(Nrc.incorrectMessageLength);
    }
    const state = request.subarray(HEAD, HEAD + stateLength);
    const asked = maskedParts(request.subarray(HEAD + stateLength), count);
    if (asked === undefined) return negative(Nrc.requestOutOfRange);
    if (option === ADJUST && !isRecord(did, withUnasked(ecu, did, state, asked))) {
      return negative(Nrc.requestOutOfRange);
    }
    apply(ecu, did, option, asked, state);
    return positive(u16Bytes(id), option, readRecord(ecu, id) ?? new Uint8Array(0));
  },
};

export function controlOf({ config }: EcuRuntime, did: number): EcuControl | undefined {
  return config.definition.controls.find((control) => control.did === did);
}

/**
 * The fields that the mask names, its highest bit being the first one; all without a mask. Undefined
 * for a mask that names a field which is not there.
 */
function maskedParts(mask: Uint8Array, count: number): number[] | undefined {
  if (mask.length === 0) return [0];
  const named = Array.from({ length: 8 * mask.length }, (_, at) => at).filter(
    (at) => ((mask[at >> 3] ?? 0) & (0x80 >> (at & 7))) !== 0,
  );
  return named.some((at) => at >= count) ? undefined : named;
}

/** What the mask leaves out may hold anything, so it is checked as it is now. */
function withUnasked(
  ecu: EcuRuntime,
  did: DefinedDid,
  state: Uint8Array,
  asked: readonly number[],
): Uint8Array {
  const current = cutRecord(did, readRecord(ecu, did.did) ?? state);
  const given = cutRecord(did, state);
  return Buffer.concat(
    given.map((part, at) => (asked.includes(at) ? part : (current[at] ?? part))),
  );
}

function apply(
  ecu: EcuRuntime,
  did: DefinedDid,
  option: number,
  asked: readonly number[],
  state: Uint8Array,
): void {
  const held = new Map(ecu.now.controls.get(did.did));
  const values = valuesOf(ecu, did, option, state);
  for (const at of asked) {
    const value = values?.[at];
    // A copy: the request's bytes are the transport's.
    if (value === undefined) held.delete(at);
    else held.set(at, Uint8Array.from(value));
  }
  if (held.size === 0) ecu.now.controls.delete(did.did);
  else ecu.now.controls.set(did.did, held);
}

function valuesOf(
  ecu: EcuRuntime,
  did: DefinedDid,
  option: number,
  state: Uint8Array,
): readonly Uint8Array[] | undefined {
  if (option === RETURN_CONTROL) return undefined;
  if (option === ADJUST) return cutRecord(did, state);
  return options[option] === "reset_to_default"
    ? defaultParts(did)
    : cutRecord(did, readRecord(ecu, did.did) ?? state);
}
