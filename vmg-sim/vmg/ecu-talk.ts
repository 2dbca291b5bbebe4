import type { Clock } from "#protocol/doip/clock.ts";
import { decodeRefusal } from "#protocol/uds/metadata-verdict.ts";
import { PROGRAMMING_LEVEL, startRoutine } from "#protocol/uds/programming.ts";
import { positivePayload } from "#protocol/uds/response.ts";
import { RoutineStatus } from "#protocol/uds/rid.ts";
import type { KeyFunction } from "#protocol/uds/security-key.ts";
import { Sid } from "#protocol/uds/service.ts";
import { UptaneError } from "#protocol/uptane/uptane-error.ts";
import { FlashError } from "./flash-error.ts";
import { address, type UdsLink } from "./uds-link.ts";

export interface EcuAccess {
  securityKey: KeyFunction;
  signal?: AbortSignal | undefined;
  clock?: Clock;
}

/** Erasing or hashing a bank may take long; 78s come all the while. */
export const LONG_MS = 120_000;
const SHORT_MS = 10_000;

export const DEFAULT_SESSION = 0x01;
const PROGRAMMING = 0x02;
export const EXTENDED = 0x03;

/** Requests to one ECU that have to be answered positively. */
export interface EcuTalk {
  /** @returns the bytes after the SID */
  ask(request: Uint8Array | number[], timeoutMs?: number): Promise<Uint8Array>;
  /** Runs a routine. @returns its status record, of at least the status byte */
  routine(rid: number, record?: Uint8Array): Promise<Uint8Array>;
  /** Runs a routine that has to pass. @throws FlashError; UptaneError when the ECU says of which */
  run(name: string, rid: number, record?: Uint8Array): Promise<void>;
}

export function ecuTalk(link: UdsLink, target: number, signal: AbortSignal | undefined): EcuTalk {
  const talk: EcuTalk = {
    async ask(request, timeoutMs = SHORT_MS) {
      const bytes = request instanceof Uint8Array ? request : Uint8Array.from(request);
      return positivePayload(bytes, await link.request(target, bytes, { signal, timeoutMs }));
    },
    async routine(rid, record) {
      const answer = await talk.ask(startRoutine(rid, record), LONG_MS);
      return answer.length > 3 ? answer.subarray(3) : Uint8Array.of(RoutineStatus.failed);
    },
    async run(name, rid, record) {
      const result = await talk.routine(rid, record);
      const [status] = result;
      if (status === RoutineStatus.passed) return;
      const refusal = decodeRefusal(result);
      if (refusal !== undefined) {
        throw new UptaneError(refusal, address(target), `${name}: the ECU refuses`);
      }
      throw new FlashError("FLASH_CHECK_FAILED", `${name}: status ${status}`);
    },
  };
  return talk;
}

/** The programming session, unlocked. */
export async function enterProgramming(ecu: EcuTalk, securityKey: KeyFunction): Promise<void> {
  await ecu.ask([Sid.diagnosticSessionControl, EXTENDED]);
  await ecu.ask([Sid.diagnosticSessionControl, PROGRAMMING]);
  await unlock(ecu, securityKey);
}

/** Security access at the level that programming needs. */
export async function unlock(ecu: EcuTalk, securityKey: KeyFunction): Promise<void> {
  const answer = await ecu.ask([Sid.securityAccess, PROGRAMMING_LEVEL]);
  const seed = answer.subarray(1);
  if (seed.every((byte) => byte === 0)) return;
  const key = securityKey(PROGRAMMING_LEVEL, seed);
  await ecu.ask([Sid.securityAccess, PROGRAMMING_LEVEL + 1, ...key]);
}
