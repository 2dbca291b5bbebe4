import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import type { Clock } from "#protocol/doip/clock.ts";
import { fromHex, toHex } from "#protocol/bytes/hex.ts";
import type { DiagnosticControl } from "#protocol/mqtt/diagnostic-control.ts";
import type { DiagnosticEvent, SessionEnd } from "#protocol/mqtt/diagnostic-event.ts";
import { scriptLimits } from "#protocol/mqtt/diagnostic-script.ts";
import { limitExceeded } from "#protocol/mqtt/script-steps.ts";
import { relate } from "#protocol/uds/response.ts";
import { Sid } from "#protocol/uds/service.ts";
import { DEFAULT_SESSION } from "./ecu-talk.ts";
import type { DiagnosticSessions } from "./diagnostic-sessions.ts";
import { failureOf, type Failure } from "./failure.ts";
import type { Pace } from "./pace.ts";
import { askRemotely, RemoteRefusedError, type RemoteAccess } from "./remote-access.ts";
import { openScriptJournal, type ScriptFinished, type ScriptJournal } from "./script-journal.ts";
import {
  runCleanup,
  runScript,
  ScriptError,
  type NamedAnswers,
  type ScriptMachine,
} from "./script-run.ts";
import { keepPresent } from "./tester-present.ts";
import { startTimer } from "./timer.ts";
import type { NetworkEcu, VehicleNetwork } from "./vehicle-network.ts";

type RunScript = Extract<DiagnosticControl, { kind: "run_script" }>;
type Proof = Extract<DiagnosticControl, { kind: "proof" }>;

export interface DiagnosticScriptsDeps {
  network: VehicleNetwork;
  access: RemoteAccess;
  sessions: Pick<DiagnosticSessions, "admit">;
  clock: Clock;
  pace: Pace;
  log: Logger;
  /** Keeps which scripts there were. */
  file: string;
  /** Puts an event where it can't be lost. */
  report: (event: DiagnosticEvent) => Promise<void>;
  /** Sends an event after those before it; resolves when the gateway has it. */
  deliver: (event: DiagnosticEvent) => Promise<void>;
}

/** Scripts on their way, one on an ECU at a time, each carried out once. */
export interface DiagnosticScripts {
  /** Resolves when a restart would know of the script; the rest is reported. */
  run(control: RunScript): Promise<void>;
  cancel(scriptId: string): void;
  /** Does one run on the ECU that belongs to no session? */
  isRunningOn(ecuId: string): boolean;
  prove(proof: Proof): void;
  /** Ends the script of a session; resolves when its cleanup is through. */
  endSession(sessionId: string, reason: SessionEnd): Promise<void>;
  /** Ends the scripts on these ECUs; the same. */
  release(ecuIds: readonly string[]): Promise<void>;
  revoke(reason: string): void;
  /** Reports what a restart has interrupted. */
  resume(): Promise<void>;
  stop(): Promise<void>;
}

interface Live {
  control: RunScript;
  ecu: NetworkEcu;
  /** No further step; the one under way is waited for. */
  over: AbortController;
  /** Nothing at all, the cleanup included. */
  enough: AbortController;
  /** Brings `enough` forward to so many milliseconds from now, if it was to come later. */
  hurry: (withinMs: number) => void;
  seq: number;
  /** Steps that the gateway has not got yet, and who waits for it to have them. */
  undelivered: Set<Promise<void>>;
  proofs: Map<string, PromiseWithResolvers<Uint8Array>>;
  /** Ends the tester present of a session that the script has entered by itself. */
  goAway?: (() => void) | undefined;
  done: Promise<void>;
}

interface State extends DiagnosticScriptsDeps {
  journal: ScriptJournal;
  live: Map<string, Live>;
  /** Ends of scripts on their way to the gateway. */
  reporting: Set<Promise<void>>;
  stopping: AbortController;
}

const PROOF_MS = 30_000;
const CLEANUP_MS = 60_000;
/** What is under way and the cleanup, where somebody waits for the ECU. */
const HURRIED_MS = 10_000;
const STOP_MS = 2_000;
/** The gateway closes the connection of who sends it more than 256 KiB. */
const MAX_ANSWER_CHARS = 200_000;
const LEAVE_MS = 3_000;
/** Steps that may wait for the gateway before the script waits, too. */
const MOST_UNDELIVERED = 64;

/** @throws StateFileError */
export async function openDiagnosticScripts(
  deps: DiagnosticScriptsDeps,
): Promise<DiagnosticScripts> {
  const journal = await openScriptJournal(deps.file);
  const state: State = {
    ...deps,
    journal,
    live: new Map(),
    reporting: new Set(),
    stopping: new AbortController(),
  };
  const { live } = state;
  const end = async (fits: (script: Live) => boolean, error: Error, withinMs?: number) => {
    const chosen = [...live.values()].filter(fits);
    for (const script of chosen) {
      script.over.abort(error);
      if (withinMs !== undefined) script.hurry(withinMs);
    }
    await Promise.all(chosen.map(({ done }) => done));
  };
  const cancelled = (why?: string) => new ScriptError("SCRIPT_CANCELLED", why);
  return {
    run: (control) => begin(state, control),
    cancel: (scriptId) => void end(({ control }) => control.script_id === scriptId, cancelled()),
    isRunningOn: (ecuId) =>
      [...live.values()].some(
        ({ control, ecu }) => control.session_id === undefined && ecu.ecu_id === ecuId,
      ),
    prove: (proof) => prove(state, proof),
    async endSession(sessionId, reason) {
      const isItsOwn = ({ control }: Live) => control.session_id === sessionId;
      const isHurried = reason === "revoked" || reason === "update_started";
      const within = state.stopping.signal.aborted ? STOP_MS : isHurried ? HURRIED_MS : undefined;
      await end(isItsOwn, cancelled(`its session has ended: ${reason}`), within);
    },
    release: (ecuIds) =>
      end(
        ({ ecu }) => ecuIds.includes(ecu.ecu_id),
        cancelled("an update is being installed"),
        HURRIED_MS,
      ),
    revoke: (reason) => void end(() => true, new RemoteRefusedError("REVOKED", reason), HURRIED_MS),
    async resume() {
      for (const finished of journal.unreported(now(state))) {
        await conclude(state, finished);
      }
    },
    async stop() {
      state.stopping.abort();
      await end(() => true, cancelled("the VMG is stopping"), STOP_MS);
      await Promise.all(state.reporting);
    },
  };
}

async function begin(state: State, control: RunScript): Promise<void> {
  const { journal, live, network, sessions, report } = state;
  const { script_id, ecu_id, session_id, script } = control;
  const known = journal.find(script_id);
  if (known && !live.has(script_id)) return report(known);
  // One that a restart has interrupted is about to be reported.
  if (journal.has(script_id)) return;
  try {
    const exceeded = limitExceeded(script);
    if (exceeded !== undefined) throw new ScriptError("SCRIPT_INVALID", exceeded);
    const ecu = network.findEcu(ecu_id);
    if (!ecu) throw new RemoteRefusedError("ECU_UNKNOWN");
    sessions.admit([ecu_id], session_id);
    if ([...live.values()].some((other) => other.ecu.ecu_id === ecu_id)) {
      throw new RemoteRefusedError("VEHICLE_BUSY", "a script runs on the ECU");
    }
    await journal.begin(script_id);
    start(state, control, ecu);
  } catch (error) {
    if (!(error instanceof RemoteRefusedError || error instanceof ScriptError)) throw error;
    await conclude(state, finishedEvent(state, script_id, { steps: 0, error: failureOf(error) }));
  }
}

function start(state: State, control: RunScript, ecu: NetworkEcu): void {
  const { clock, live, log } = state;
  const enough = new AbortController();
  const patience = startTimer(clock, () => enough.abort(new ScriptError("SCRIPT_CANCELLED")));
  let deadline = Infinity;
  const script: Live = {
    control,
    ecu,
    over: new AbortController(),
    enough,
    hurry(withinMs) {
      deadline = Math.min(deadline, clock.now() + withinMs);
      patience.in(deadline - clock.now());
    },
    seq: 0,
    undelivered: new Set(),
    proofs: new Map(),
    done: Promise.resolve(),
  };
  live.set(control.script_id, script);
  script.done = run(state, script)
    .catch((error: unknown) => log.error({ err: error }, "a diagnostic script failed"))
    .finally(() => {
      patience.stop();
      live.delete(control.script_id);
    });
}

async function run(state: State, script: Live): Promise<void> {
  const { clock, journal } = state;
  const { script_id, expires_at, script: content } = script.control;
  const answers: NamedAnswers = new Map();
  const time = startTimer(clock, () => script.over.abort(new ScriptError("SCRIPT_EXPIRED")));
  const left = Date.parse(expires_at) - state.pace.now().getTime();
  time.in(Math.min(left, scriptLimits.run_s * 1000));
  let error: Failure | undefined;
  try {
    await runScript(content, machineOf(state, script, script.over.signal), answers);
  } catch (thrown) {
    error = failureOf(thrown);
  }
  time.stop();
  script.hurry(CLEANUP_MS);
  await runCleanup(content, machineOf(state, script, script.enough.signal), answers);
  if (script.goAway) {
    script.goAway();
    await leave(state, script.ecu);
  }
  if (state.stopping.signal.aborted) return;
  const outcome = { steps: script.seq, answers, ...(error && { error }) };
  const finished = finishedEvent(state, script_id, outcome);
  await journal.finish(finished);
  // The update or the session that the ECU is wanted for need not wait for the gateway.
  const reporting = report(state, script, finished).finally(() =>
    state.reporting.delete(reporting),
  );
  state.reporting.add(reporting);
}

/** Last of all: the gateway has every step by then. What a stop cuts short the next start reports. */
async function report(
  state: State,
  { undelivered }: Live,
  finished: ScriptFinished,
): Promise<void> {
  try {
    await untilAborted(Promise.allSettled(undelivered), state.stopping.signal);
    await conclude(state, finished);
  } catch (error) {
    if (!state.stopping.signal.aborted)
      state.log.error({ err: error }, "a script was not reported");
  }
}

async function conclude(state: State, finished: ScriptFinished): Promise<void> {
  await state.journal.finish(finished);
  await state.report(finished);
  await state.journal.reported(finished.script_id);
}

/** What a script can do until the signal is aborted; what the ECU works on then is waited for. */
function machineOf(state: State, script: Live, signal: AbortSignal): ScriptMachine {
  const { access, clock } = state;
  const { ecu, enough, over } = script;
  return {
    throwIfOver: () => signal.throwIfAborted(),
    async ask(request, options) {
      signal.throwIfAborted();
      const waiting = new AbortController();
      const giveUp = () => waiting.abort(signal.reason);
      signal.addEventListener("abort", giveUp, { once: true });
      try {
        const answer = await askRemotely(access, ecu, request, {
          ...options,
          signal: AbortSignal.any([waiting.signal, enough.signal]),
          beforeSend: () => signal.removeEventListener("abort", giveUp),
        });
        followSession(state, script, request, answer.response);
        return answer;
      } finally {
        signal.removeEventListener("abort", giveUp);
      }
    },
    prove: (service, level, answer) => challenge(state, script, signal, { service, level, answer }),
    wait: (ms) => pause(clock, ms, signal),
    now: () => clock.now(),
    async report(step) {
      const { script_id } = script.control;
      const seq = (script.seq += 1);
      const sent = state
        .deliver({ kind: "script_step", script_id, seq, ...step, ts: now(state) })
        .catch((error: unknown) => state.log.debug({ err: error }, "a step was not delivered"))
        .finally(() => script.undelivered.delete(sent));
      script.undelivered.add(sent);
      // A cleanup waits for nobody.
      while (signal === over.signal && script.undelivered.size >= MOST_UNDELIVERED) {
        await untilAborted(Promise.race(script.undelivered), signal);
      }
    },
  };
}

/** Outside a session of the VMG's it keeps up what the script enters. */
function followSession(
  { clock, log }: State,
  script: Live,
  request: Uint8Array,
  response: Uint8Array,
): void {
  if (script.control.session_id !== undefined) return;
  if (relate(request, response).kind !== "positive") return;
  const isEntered = request[0] === Sid.diagnosticSessionControl && response[1] !== DEFAULT_SESSION;
  const isLeft = request[0] === Sid.diagnosticSessionControl || request[0] === Sid.ecuReset;
  if (isEntered) script.goAway ??= keepPresent(script.ecu, clock, log);
  else if (isLeft) {
    script.goAway?.();
    script.goAway = undefined;
  }
}

interface Challenge {
  service: 0x27 | 0x29;
  level: number | undefined;
  answer: Uint8Array;
}

async function challenge(
  state: State,
  script: Live,
  signal: AbortSignal,
  { service, level, answer }: Challenge,
): Promise<Uint8Array> {
  signal.throwIfAborted();
  const { script_id, ecu_id } = script.control;
  const challenge_id = randomUUID();
  const proof = Promise.withResolvers<Uint8Array>();
  const timer = startTimer(state.clock, () =>
    proof.reject(new ScriptError("SCRIPT_PROOF_MISSING", "the gateway sent none in time")),
  );
  proof.promise.catch(() => undefined);
  script.proofs.set(challenge_id, proof);
  timer.in(PROOF_MS);
  state
    .deliver({
      kind: "challenge",
      script_id,
      challenge_id,
      ecu_id,
      service,
      ...(level !== undefined && { level }),
      response: toHex(answer),
      ts: now(state),
    })
    .catch((error: unknown) => proof.reject(error));
  try {
    return await untilAborted(proof.promise, signal);
  } finally {
    timer.stop();
    script.proofs.delete(challenge_id);
  }
}

function prove({ live }: State, { script_id, challenge_id, request, error }: Proof): void {
  const proof = live.get(script_id)?.proofs.get(challenge_id);
  if (request === undefined) proof?.reject(new ScriptError("SCRIPT_PROOF_MISSING", error));
  else proof?.resolve(fromHex(request) ?? new Uint8Array(0));
}

async function leave({ log }: State, { link, logical_address, ecu_id }: NetworkEcu): Promise<void> {
  const request = Uint8Array.of(Sid.diagnosticSessionControl, DEFAULT_SESSION);
  try {
    await link.request(logical_address, request, { timeoutMs: LEAVE_MS });
  } catch (error) {
    log.warn({ err: error, ecu_id }, "an ECU was left in its session; that ends by itself");
  }
}

interface Outcome {
  steps: number;
  answers?: NamedAnswers;
  error?: Failure;
}

function finishedEvent(
  state: State,
  script_id: string,
  { steps, answers = new Map(), error }: Outcome,
): ScriptFinished {
  return {
    kind: "script_finished",
    script_id,
    outcome: outcomeOf(error?.code),
    steps,
    answers: bounded(answers),
    ...(error && { error }),
    ts: now(state),
  };
}

function outcomeOf(code: string | undefined): ScriptFinished["outcome"] {
  switch (code) {
    case undefined:
      return "completed";
    case "SCRIPT_CANCELLED":
    case "REVOKED":
      return "cancelled";
    case "SCRIPT_EXPIRED":
      return "expired";
    default:
      return "failed";
  }
}

/** As many as a message holds; all of them are in the steps. */
function bounded(answers: NamedAnswers): Record<string, string> {
  let left = MAX_ANSWER_CHARS;
  const kept = [...answers].filter(([, answer]) => (left -= 2 * answer.length + 40) >= 0);
  return Object.fromEntries(kept.map(([name, answer]) => [name, toHex(answer)]));
}

const now = ({ pace }: State) => pace.now().toISOString();

function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  const waited = Promise.withResolvers<void>();
  const cancel = clock.after(ms, waited.resolve);
  return untilAborted(waited.promise, signal).finally(cancel);
}

/** The promise, or the signal's reason as soon as it is aborted. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
