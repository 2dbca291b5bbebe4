import type { Access } from "#config/ecu-definition.ts";
import type { Clock } from "#protocol/doip/clock.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import type { KeyFunction } from "#protocol/uds/security-key.ts";
import type { Assignment } from "#protocol/uptane/assignment.ts";
import type { EcuBehaviour } from "./behaviour.ts";
import type { CompleteEcuConfig } from "./config.ts";
import type { FlashMemory } from "./flash-memory.ts";
import type { StateStore } from "./state-file.ts";
import type { TesterState } from "./tester-certificate.ts";
import type { EcuAuthentication } from "./tester-trust.ts";
import type { Assigned, EcuTrust } from "./trust.ts";

export const Session = { default: 0x01, programming: 0x02, extended: 0x03 } as const;
export type Session = (typeof Session)[keyof typeof Session];

/** Sessions in which more is allowed than reading. */
export const nonDefaultSessions: readonly Session[] = [Session.programming, Session.extended];

/** A transfer under way. */
export type Transfer = Download | Upload;

export interface Download {
  direction: "download";
  to: TransferTarget;
  announced: number;
  received: number;
  /** Blocks taken so far; the last one's counter is their number modulo 256. */
  blocks: number;
}

export interface Upload {
  direction: "upload";
  data: Uint8Array;
  /** Blocks sent so far, repeated ones counted once. */
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

/** Whoever sent a request. */
export interface Tester {
  source: number;
  /** It asked a whole group rather than this ECU. */
  functional: boolean;
  /** Sends it a response, also later on. */
  respond(response: Uint8Array): void;
  /** Whether it does not take what it was sent. */
  congested?: (() => boolean) | undefined;
}

/** Whether messages of a kind are sent and taken (28). */
export interface CommunicationState {
  normal: { receives: boolean; sends: boolean };
  networkManagement: { receives: boolean; sends: boolean };
}

/** A piece of a dynamically defined DID; `position` counts from 0. */
export type DynamicSource =
  | { kind: "did"; did: number; position: number; size: number }
  | { kind: "memory"; address: number; size: number };

/** What is sent periodically, by the low byte of its DID, and the timers of the rates in use. */
export interface PeriodicSchedule {
  entries: Map<number, { rate: string; tester: Tester }>;
  timers: Map<string, () => void>;
}

/** What an ECU forgets without power. */
export interface VolatileState {
  session: Session;
  /** When the last request was finished, on the ECU's clock; Infinity while one is served. */
  lastActivity: number;
  startedAt: number;
  /** The security level that is unlocked. */
  unlocked?: number;
  /** Testers that have begun an authentication (29), by their addresses. */
  testers: Map<number, TesterState>;
  /** Whether the request that is served is one that its tester's authenticated role covers. */
  isCovered: boolean;
  /** The seed that was given out and not used yet. */
  seed?: { level: number; bytes: Uint8Array };
  /** By level: before this time on the ECU's clock no seed is given. */
  delayUntil: Map<number, number>;
  transfer?: Transfer;
  /** Metadata that has come and is not verified yet. */
  metadata?: Uint8Array;
  /** What verified metadata allows. */
  assigned?: Assigned;
  /** Status records of routines that have run. */
  routineResults: Map<number, Uint8Array>;
  /** Routines that run in the background: when each ends, on the ECU's clock. */
  routinesUntil: Map<number, number>;
  selfTestPassed: boolean;
  /** Whether results of tests are noted (85). */
  dtcSetting: boolean;
  communication: CommunicationState;
  periodic: PeriodicSchedule;
  /** What 2C has defined, by DID. */
  dynamicDids: Map<number, readonly DynamicSource[]>;
  /** What testers hold (2F): by DID, bytes by the number of the field. */
  controls: Map<number, Map<number, Uint8Array>>;
  /** Memory as it is since something used it, by region. */
  memory: Map<string, Buffer>;
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
  readonly authentication: EcuAuthentication;
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
  /** Whether something begun before allows it, whatever `sessions` and `levels` say. */
  isAllowed?(ecu: EcuRuntime): boolean;
  /** Bytes of the shortest request, the SID included. */
  minLength: number;
  subFunctions?(ecu: EcuRuntime): ReadonlyMap<number, SubFunctionRule>;
  handle(ecu: EcuRuntime, request: Uint8Array, tester: Tester): Outcome | Promise<Outcome>;
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
  wrongKeys: Readonly<Record<string, number>>,
): VolatileState {
  const now = clock.now();
  const delayed = config.definition.security_levels.filter(
    ({ level, max_attempts }) => (wrongKeys[level] ?? 0) >= max_attempts,
  );
  return {
    session: Session.default,
    lastActivity: now,
    startedAt: now,
    testers: new Map(),
    isCovered: false,
    delayUntil: new Map(delayed.map(({ level, delay_ms }) => [level, now + delay_ms])),
    routineResults: new Map(),
    routinesUntil: new Map(),
    selfTestPassed: false,
    dtcSetting: true,
    communication: allCommunication(),
    periodic: { entries: new Map(), timers: new Map() },
    dynamicDids: new Map(),
    controls: new Map(),
    memory: new Map(),
  };
}

export function allCommunication(): CommunicationState {
  return {
    normal: { receives: true, sends: true },
    networkManagement: { receives: true, sends: true },
  };
}

/** S3: a session other than the default one ends after this long without a request. */
const S3_SERVER_MS = 5_000;

export function sessionHasExpired({ now, clock }: EcuRuntime): boolean {
  return now.session !== Session.default && clock.now() - now.lastActivity >= S3_SERVER_MS;
}

/**
 * The NRC for what the definition does not allow now; undefined for what it does. What belongs to
 * another session is not there in this one (31).
 */
export function refusal({ now }: EcuRuntime, access: Access = {}): number | undefined {
  const isHere = access.sessions?.some((name) => Session[name] === now.session) ?? true;
  if (!isHere) return Nrc.requestOutOfRange;
  const isOpen = access.level === undefined || now.isCovered || now.unlocked === access.level;
  return isOpen ? undefined : Nrc.securityAccessDenied;
}

/** A value between -1 and 1 that swings with the ECU's clock, each ECU and signal in its own phase. */
export function wave(ecu: EcuRuntime, periodS: number, phase = 0): number {
  const turns = ecu.clock.now() / 1000 / periodS + (ecu.config.logical_address + phase) / 7;
  return Math.sin(2 * Math.PI * turns);
}

/** Whether it is an upload that 36 and 37 are about. */
export function isUploading({ now }: EcuRuntime): boolean {
  return now.transfer?.direction === "upload";
}

/** The image that verified metadata allows to be written now. */
export function assignedImage({ trust, now, config }: EcuRuntime): Assignment | undefined {
  return trust?.imageFor(config.ecu_id, now.assigned);
}

/** Closes the transfer under way, if any; a bank that is not finished is never started. */
export async function endTransfer(ecu: EcuRuntime): Promise<void> {
  const { transfer } = ecu.now;
  delete ecu.now.transfer;
  if (transfer?.direction === "download") await transfer.to.close();
}
