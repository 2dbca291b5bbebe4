import { randomBytes } from "node:crypto";
import type { Clock } from "#protocol/doip/clock.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { isSilentWhenFunctional, negativeResponse } from "#protocol/uds/response.ts";
import { hmacKey, type KeyFunction } from "#protocol/uds/security-key.ts";
import { POSITIVE_OFFSET, suppressesPositive } from "#protocol/uds/service.ts";
import type { Assignment } from "#protocol/uptane/assignment.ts";
import { testerServed } from "./access-rights.ts";
import type { EcuBehaviour } from "./behaviour.ts";
import { completeEcuConfig, type CompleteEcuConfig, type EcuConfig } from "./config.ts";
import { dispatch } from "./dispatch.ts";
import { runMonitors, startOperationCycle } from "./dtc-memory.ts";
import { flashMemory } from "./flash-memory.ts";
import { stopAllPeriodic } from "./periodic.ts";
import {
  allCommunication,
  endTransfer,
  negative,
  sessionHasExpired,
  volatileState,
  type CommunicationState,
  type EcuRuntime,
  type Outcome,
  type Tester,
} from "./runtime.ts";
import { expireSession, P2_SERVER_MS, P2_STAR_SERVER_MS } from "./session.ts";
import { openState } from "./state-file.ts";

import { ecuAuthentication, type AuthenticationOptions } from "./tester-trust.ts";
import { ecuTrust, type TrustOptions } from "./trust.ts";

/** The first 78 goes out with a reserve to P2, the ones after it with a reserve to P2*. */
const FIRST_PENDING_MS = 0.8 * P2_SERVER_MS;
const NEXT_PENDING_MS = 0.4 * P2_STAR_SERVER_MS;

export interface EcuOptions {
  config: EcuConfig;
  /** Folder of its own for banks and state. */
  stateFolder: string;
  clock: Clock;
  behaviour?: EcuBehaviour;
  /** Lets only images be written that the director has assigned. */
  trust?: TrustOptions | undefined;
  /** How testers are authenticated (29); by default no certificate is trusted. */
  authentication?: AuthenticationOptions | undefined;
  /** Random bytes for seeds. */
  random?: (length: number) => Uint8Array;
  keyOf?: KeyFunction;
  /** The ECU goes down for its restart, and is back. */
  onReset?: () => void;
  onRestarted?: () => void;
  /** Something failed that is not the tester's fault, a full disk for one. */
  onFault?: (error: unknown) => void;
}

export type RequestOrigin = Omit<Tester, "respond">;

export interface Ecu {
  readonly config: CompleteEcuConfig;
  /** Version of the image that runs. */
  readonly softwareVersion: string;
  /** Whether it exchanges messages beside diagnostics (28). */
  readonly communication: CommunicationState;
  /** The logical address its answers come from. */
  readonly answersFrom: number;
  /** The image that, as far as this ECU has verified, may be written into one. */
  imageFor(ecuId: string): Assignment | undefined;
  /**
   * Takes a UDS request of 1 byte or more; `respond` runs for every answer, 78s included, and later
   * on for what is sent periodically. Requests run one after the other; resolves when this one is
   * finished, answered or not.
   */
  handle(
    request: Uint8Array,
    origin: RequestOrigin,
    respond: (response: Uint8Array) => void,
  ): Promise<void>;
  /** A tester's connection is gone: whoever comes with its address next is not authenticated. */
  disconnected(source: number): void;
  setBehaviour(behaviour: EcuBehaviour): void;
  /** Switches the ECU off. */
  stop(): Promise<void>;
}

/**
 * Starts an ECU from what its folder holds.
 * @throws RangeError for an impossible configuration, EcuStateError for a folder that is not its own
 */
export async function startEcu(options: EcuOptions): Promise<Ecu> {
  const ecu = await powerOn(options);
  let work: Promise<void> = Promise.resolve();
  let busyFor: number | undefined;
  let waiting = 0;
  let off = false;
  let starts = 1;

  /** In turn with requests, which work on the same memory. */
  function inTurn(task: () => void | Promise<void>): void {
    work = work.then(task).catch((error: unknown) => options.onFault?.(error));
  }

  async function run(
    request: Uint8Array,
    origin: RequestOrigin,
    respond: (response: Uint8Array) => void,
  ): Promise<void> {
    const whileOn = (response: Uint8Array) => void (off || respond(response));
    const outcome = await answer(ecu, options, request, { ...origin, respond: whileOn });
    ecu.now.lastActivity = ecu.clock.now();
    testerServed(ecu, origin.source);
    if (outcome.kind !== "reset" && outcome.kind !== "crash") return;
    starts += 1;
    await restart(ecu, options);
  }

  return {
    config: ecu.config,
    get softwareVersion() {
      return ecu.flash.version;
    },
    get communication() {
      return sessionHasExpired(ecu) ? allCommunication() : ecu.now.communication;
    },
    get answersFrom() {
      return ecu.behaviour.answersFrom ?? ecu.config.logical_address;
    },
    imageFor: (ecuId) => ecu.trust?.imageFor(ecuId, ecu.now.assigned),
    handle(request, origin, respond) {
      if (busyFor !== undefined && busyFor !== origin.source) {
        respond(negativeResponse(request[0] ?? 0, Nrc.busyRepeatRequest));
        return Promise.resolve();
      }
      busyFor = origin.source;
      waiting += 1;
      const arrivedIn = starts;
      work = work
        .then(() => {
          // What was waiting when the ECU restarted is forgotten.
          if (off || starts !== arrivedIn || ecu.behaviour.silent === true) return undefined;
          return run(request, origin, respond);
        })
        .catch((error: unknown) => options.onFault?.(error))
        .finally(() => {
          waiting -= 1;
          if (waiting === 0) busyFor = undefined;
        });
      return work;
    },
    disconnected: (source) => inTurn(() => void ecu.now.testers.delete(source)),
    setBehaviour(behaviour) {
      ecu.behaviour = { ...behaviour };
      inTurn(() => runMonitors(ecu, behaviour.failingTests));
    },
    async stop() {
      off = true;
      ecu.wake();
      await work;
      stopAllPeriodic(ecu);
      await endTransfer(ecu);
    },
  };
}

async function restart(ecu: EcuRuntime, options: EcuOptions): Promise<void> {
  options.onReset?.();
  stopAllPeriodic(ecu);
  await endTransfer(ecu);
  await ecu.flash.boot();
  await ecu.sleep(ecu.behaviour.bootMs ?? 0);
  ecu.now = volatileState(ecu.clock, ecu.config, ecu.store.current.wrong_keys ?? {});
  await startOperationCycle(ecu);
  options.onRestarted?.();
}

/** Loads what the ECU remembers and picks the bank to run. */
async function powerOn(options: EcuOptions): Promise<EcuRuntime & { wake(): void }> {
  const { clock, stateFolder, behaviour = {} } = options;
  const config = completeEcuConfig(options.config);
  const store = await openState(stateFolder, config.software_version);
  const flash = flashMemory(stateFolder, store);
  await flash.boot();
  const ecu = {
    config,
    clock,
    random: options.random ?? randomBytes,
    keyOf: options.keyOf ?? hmacKey(config.security.secrets),
    store,
    flash,
    trust:
      options.trust && ecuTrust(options.trust, { config, store, version: () => flash.version }),
    authentication: ecuAuthentication(options.authentication),
    behaviour: { ...behaviour },
    now: volatileState(clock, config, store.current.wrong_keys ?? {}),
    ...sleeper(clock),
  };
  await startOperationCycle(ecu);
  return ecu;
}

function sleeper(clock: Clock): { sleep(ms: number): Promise<void>; wake(): void } {
  let wakeNow: (() => void) | undefined;
  let off = false;
  return {
    sleep(ms) {
      if (off || ms === 0) return Promise.resolve();
      return new Promise((resolve) => {
        const cancel = clock.after(ms, resolve);
        wakeNow = () => {
          cancel();
          resolve();
        };
      });
    },
    wake() {
      off = true;
      wakeNow?.();
    },
  };
}

/** Runs one request to its end and sends its answers, with 78s while it takes its time. */
async function answer(
  ecu: EcuRuntime,
  options: EcuOptions,
  request: Uint8Array,
  tester: Tester,
): Promise<Outcome> {
  const { respond } = tester;
  const sid = request[0] ?? 0;
  let pendingSent = false;
  let cancel = ecu.clock.after(FIRST_PENDING_MS, sendPending);
  function sendPending(): void {
    pendingSent = true;
    respond(negativeResponse(sid, Nrc.responsePending));
    cancel = ecu.clock.after(NEXT_PENDING_MS, sendPending);
  }
  const outcome = await outcomeOf(ecu, options, request, tester);
  cancel();
  const response = responseTo(ecu, request, outcome);
  if (response === undefined) return outcome;
  const suppressed =
    !pendingSent &&
    (outcome.kind === "negative"
      ? tester.functional && isSilentWhenFunctional(response)
      : suppressesPositive(request));
  if (!suppressed) respond(response);
  return outcome;
}

async function outcomeOf(
  ecu: EcuRuntime,
  options: EcuOptions,
  request: Uint8Array,
  tester: Tester,
): Promise<Outcome> {
  const { behaviour } = ecu;
  try {
    await expireSession(ecu);
    // S3 stands still while a request is served.
    ecu.now.lastActivity = Infinity;
    if (behaviour.resetAtService === request[0]) return { kind: "crash" };
    if (behaviour.slowMs !== undefined) await ecu.sleep(behaviour.slowMs);
    if (behaviour.busyRequests !== undefined && behaviour.busyRequests > 0) {
      behaviour.busyRequests -= 1;
      return negative(Nrc.busyRepeatRequest);
    }
    return await dispatch(ecu, request, tester);
  } catch (error) {
    options.onFault?.(error);
    return negative(Nrc.generalReject);
  }
}

function responseTo(
  ecu: EcuRuntime,
  request: Uint8Array,
  outcome: Outcome,
): Uint8Array | undefined {
  const sid = request[0] ?? 0;
  if (outcome.kind === "crash") return undefined;
  if (outcome.kind === "negative") return negativeResponse(sid, outcome.nrc);
  const offset = ecu.behaviour.wrongAnswer === true ? POSITIVE_OFFSET + 1 : POSITIVE_OFFSET;
  return Buffer.concat([Uint8Array.of((sid + offset) & 0xff), outcome.payload]);
}
