import type { Clock } from "#protocol/doip/clock.ts";
import type { KeyFunction } from "#protocol/uds/security-key.ts";
import type { Assignment } from "#protocol/uptane/assignment.ts";
import type { EcuBehaviour } from "./behaviour.ts";
import type { CompleteEcuConfig } from "./config.ts";
import type { FlashMemory } from "./flash-memory.ts";
import type { StateStore } from "./state-file.ts";
import type { Assigned, EcuTrust } from "./trust.ts";

export const Session = { default: 0x01, programming: 0x02, extended: 0x03 } as const;
export type Session = (typeof Session)[keyof typeof Session];

/** Sessions in which more is allowed than reading. */
export const nonDefaultSessions: readonly Session[] = [Session.programming, Session.extended];

/** A download under way. */
export interface Transfer {
  to: TransferTarget;
  announced: number;
  received: number;
  /** Blocks taken so far; the last one's counter is their number modulo 256. */
  blocks: number;
}

/** Where the bytes of a download go. */
export interface TransferTarget {
  /** Flash can fail; memory does not. */
  kind: "flash" | "memory";
  write(data: Uint8Array, at: number): Promise<void>;
  /** All of it has come. */
  finish(length: number): Promise<void>;
  close(): Promise<void>;
}

/** What an ECU forgets without power. */
export interface VolatileState {
  session: Session;
  /** When the last request was finished, on the ECU's clock. */
  lastActivity: number;
  startedAt: number;
  /** The security level that is unlocked. */
  unlocked?: number;
  /** The seed that was given out and not used yet. */
  seed?: { level: number; bytes: Uint8Array };
  /** Before this time on the ECU's clock no seed is given. */
  delayUntil: number;
  transfer?: Transfer;
  /** Metadata that has come and is not verified yet. */
  metadata?: Uint8Array;
  /** What verified metadata allows. */
  assigned?: Assigned;
  /** Status records of routines that have run. */
  routineResults: Map<number, Uint8Array>;
  selfTestPassed: boolean;
  /** Whether results of tests are noted (85). */
  dtcSetting: boolean;
}

/** All that a service works on. */
export interface EcuRuntime {
  readonly config: CompleteEcuConfig;
  readonly clock: Clock;
  readonly random: (length: number) => Uint8Array;
  readonly keyOf: KeyFunction;
  readonly store: StateStore;
  readonly flash: FlashMemory;
  /** Absent: whatever a tester with the key writes is taken. */
  readonly trust: EcuTrust | undefined;
  behaviour: EcuBehaviour;
  now: VolatileState;
  /** Waits on the ECU's clock; ends early when the ECU is switched off. */
  sleep(ms: number): Promise<void>;
}

/** How a service ends. `payload` is what follows the SID of the positive response. */
export type Outcome =
  | { kind: "positive"; payload: Uint8Array }
  | { kind: "negative"; nrc: number }
  /** Answers, then restarts. */
  | { kind: "reset"; payload: Uint8Array }
  /** Restarts without an answer. */
  | { kind: "crash" };

export interface SubFunctionRule {
  sessions?: readonly Session[];
}

/** One UDS service of the ECU; what is listed here is checked before `handle` runs. */
export interface EcuService {
  sid: number;
  sessions?: readonly Session[];
  /** One of these security levels has to be unlocked. */
  levels?: readonly number[];
  /** Bytes of the shortest request, the SID included. */
  minLength: number;
  subFunctions?(ecu: EcuRuntime): ReadonlyMap<number, SubFunctionRule>;
  handle(ecu: EcuRuntime, request: Uint8Array): Outcome | Promise<Outcome>;
}

export function positive(...payload: (number | Uint8Array)[]): Outcome {
  return { kind: "positive", payload: joinBytes(payload) };
}

export function negative(nrc: number): Outcome {
  return { kind: "negative", nrc };
}

/** Bytes and byte strings, one after the other. */
export function joinBytes(parts: readonly (number | Uint8Array)[]): Buffer {
  return Buffer.concat(
    parts.map((part) => (typeof part === "number" ? Uint8Array.of(part) : part)),
  );
}

export function u16Bytes(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff);
}

export function u16At(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

/** The state after a start. Keys that were wrong before it still cost their delay. */
export function volatileState(
  clock: Clock,
  config: CompleteEcuConfig,
  failedKeys: number,
): VolatileState {
  const now = clock.now();
  const { max_attempts, delay_ms } = config.security;
  return {
    session: Session.default,
    lastActivity: now,
    startedAt: now,
    delayUntil: failedKeys >= max_attempts ? now + delay_ms : now,
    routineResults: new Map(),
    selfTestPassed: false,
    dtcSetting: true,
  };
}

/** The image that verified metadata allows to be written now. */
export function assignedImage({ trust, now, config }: EcuRuntime): Assignment | undefined {
  return trust?.imageFor(config.ecu_id, now.assigned);
}

/** Closes the transfer under way, if any; a bank that is not finished is never started. */
export async function endTransfer(ecu: EcuRuntime): Promise<void> {
  const { transfer } = ecu.now;
  delete ecu.now.transfer;
  await transfer?.to.close();
}
