import { fromHex, toHex } from "#protocol/bytes/hex.ts";
import type { DiagnosticEvent } from "#protocol/mqtt/diagnostic-event.ts";
import {
  scriptLimits,
  type DiagnosticScript,
  type ScriptStep,
} from "#protocol/mqtt/diagnostic-script.ts";
import type { VehicleTiming } from "#protocol/mqtt/diagnostics.ts";
import { scriptErrors, type ScriptErrorCode } from "#protocol/mqtt/script-error.ts";
import { Sid } from "#protocol/uds/service.ts";
import { failureOf } from "./failure.ts";
import type { RemoteAnswer } from "./remote-access.ts";
import { holds, isNegative } from "./script-condition.ts";
import { UdsLinkError } from "./uds-link.ts";

/** A script that ends before its end. */
export class ScriptError extends Error {
  readonly code: ScriptErrorCode;

  constructor(code: ScriptErrorCode, message: string = scriptErrors[code]) {
    super(message);
    this.name = "ScriptError";
    this.code = code;
  }
}

type StepEvent = Extract<DiagnosticEvent, { kind: "script_step" }>;
export type StepReport = Omit<StepEvent, "kind" | "script_id" | "seq" | "ts">;

export interface ScriptAsk {
  timeoutMs: number;
  onTiming: (timing: VehicleTiming) => void;
}

/** What a script has of the vehicle. Each throws what has to end the run, its being cancelled too. */
export interface ScriptMachine {
  /** Before each step. */
  throwIfOver(): void;
  ask(request: Uint8Array, options: ScriptAsk): Promise<RemoteAnswer>;
  /** The request that proves to the ECU who is asking, from the gateway. */
  prove(service: 0x27 | 0x29, level: number | undefined, answer: Uint8Array): Promise<Uint8Array>;
  wait(ms: number): Promise<void>;
  /** Milliseconds on a clock that never goes back. */
  now(): number;
  /** Waits while too much waits for the gateway. */
  report(step: StepReport): Promise<void>;
}

/** Answers that were given a name, the last of each. */
export type NamedAnswers = Map<string, Uint8Array>;

const ASK_MS = 10_000;
/** Steps of any kind for each request that a run may send: a loop must not turn for ever. */
const MOST_STEPS = 10 * scriptLimits.requests;
const MOST_PROOFS = 4;
const OWNERSHIP_VERIFIED = 0x12;
const CERTIFICATE_VERIFIED = 0x11;
const REQUEST_CHALLENGE = 0x05;

/** Runs the steps of a script. @throws ScriptError, and what the machine throws */
export async function runScript(
  { steps }: DiagnosticScript,
  machine: ScriptMachine,
  answers: NamedAnswers,
): Promise<void> {
  await runSteps(newRun(machine, answers), steps, "steps");
}

/** Runs each step of the cleanup, whatever the one before came to. */
export async function runCleanup(
  { cleanup = [] }: DiagnosticScript,
  machine: ScriptMachine,
  answers: NamedAnswers,
): Promise<void> {
  const run = newRun(machine, answers);
  for (const [index, step] of cleanup.entries()) {
    await runStep(run, step, `cleanup/${index}`).catch(() => undefined);
  }
}

interface Run {
  machine: ScriptMachine;
  answers: NamedAnswers;
  requests: number;
  steps: number;
}

function newRun(machine: ScriptMachine, answers: NamedAnswers): Run {
  return { machine, answers, requests: 0, steps: 0 };
}

async function runSteps(run: Run, steps: readonly ScriptStep[], path: string): Promise<void> {
  for (const [index, step] of steps.entries()) await runStep(run, step, `${path}/${index}`);
}

async function runStep(run: Run, step: ScriptStep, path: string): Promise<void> {
  run.machine.throwIfOver();
  run.steps += 1;
  if (run.steps > MOST_STEPS) throw new ScriptError("SCRIPT_LIMIT");
  if ("request" in step) return request(run, step, path);
  if ("unlock" in step) return unlock(run, step.unlock, path);
  if ("authenticate" in step) return authenticate(run, path);
  if ("fail" in step) throw new ScriptError("SCRIPT_FAILED", step.fail);
  if ("repeat" in step) return repeat(run, step, path);
  if ("if" in step) {
    const isTrue = holds(step.if, run.answers);
    return isTrue
      ? runSteps(run, step.then, `${path}/then`)
      : runSteps(run, step.else ?? [], `${path}/else`);
  }
  await run.machine.wait(step.wait_ms);
  await run.machine.report({ path });
}

async function request(
  run: Run,
  step: Extract<ScriptStep, { request: string }>,
  path: string,
): Promise<void> {
  const { expect, as } = step;
  try {
    const answer = await ask(run, hex(step.request), path, step.timeout_ms);
    if (as !== undefined) run.answers.set(as, answer);
    const fits =
      expect === undefined
        ? !isNegative(answer)
        : expect === "any" || toHex(answer).startsWith(expect);
    if (!fits) throw unexpected(path, answer);
  } catch (error) {
    // An ECU that restarts, for one, says nothing.
    if (expect !== "any" || !(error instanceof UdsLinkError)) throw error;
    if (as !== undefined) run.answers.delete(as);
  }
}

/** 27: the seed, then the key; a seed of zeros says that the ECU is unlocked. */
async function unlock(run: Run, level: number, path: string): Promise<void> {
  const answer = await positive(run, Uint8Array.of(Sid.securityAccess, level), path);
  if (answer.subarray(2).every((byte) => byte === 0)) return;
  const key = await run.machine.prove(Sid.securityAccess, level, answer);
  const isKey = key[0] === Sid.securityAccess && key[1] === level + 1;
  if (!isKey) throw new ScriptError("SCRIPT_PROOF_MISSING", "the gateway sent no key");
  await positive(run, key, path);
}

/** 29: as the gateway leads, until the ECU says that it is done (ISO 14229-1, 10.6). */
async function authenticate(run: Run, path: string): Promise<void> {
  let answer: Uint8Array = new Uint8Array(0);
  for (let proof = 0; proof < MOST_PROOFS; proof++) {
    const next = await run.machine.prove(AUTHENTICATION, undefined, answer);
    if (next[0] !== AUTHENTICATION) {
      throw new ScriptError("SCRIPT_PROOF_MISSING", "the gateway sent no proof");
    }
    answer = await positive(run, next, path);
    const [, subFunction, result] = answer;
    if (result === OWNERSHIP_VERIFIED) return;
    const goesOn = result === CERTIFICATE_VERIFIED || subFunction === REQUEST_CHALLENGE;
    if (!goesOn) throw unexpected(path, answer);
  }
  throw unexpected(path, answer);
}

const AUTHENTICATION = 0x29;

async function repeat(
  run: Run,
  { repeat: { times, until, every_ms }, steps }: Extract<ScriptStep, { repeat: object }>,
  path: string,
): Promise<void> {
  for (let round = 1; ; round++) {
    const began = run.machine.now();
    await runSteps(run, steps, `${path}/steps`);
    if (round >= times || (until !== undefined && holds(until, run.answers))) return;
    const left = (every_ms ?? 0) - (run.machine.now() - began);
    if (left > 0) await run.machine.wait(left);
  }
}

async function positive(run: Run, asked: Uint8Array, path: string): Promise<Uint8Array> {
  const answer = await ask(run, asked, path);
  if (isNegative(answer)) throw unexpected(path, answer);
  return answer;
}

/** Sends a request and reports it, whatever it came to. */
async function ask(
  run: Run,
  asked: Uint8Array,
  path: string,
  timeoutMs: number = ASK_MS,
): Promise<Uint8Array> {
  const { machine } = run;
  if (run.requests >= scriptLimits.requests) throw new ScriptError("SCRIPT_LIMIT");
  run.requests += 1;
  let timing: VehicleTiming = {};
  const onTiming = (measured: VehicleTiming) => {
    timing = measured;
  };
  const step = { path, request: toHex(asked) };
  try {
    const { response, interlock } = await machine.ask(asked, { timeoutMs, onTiming });
    const answered = { response: toHex(response), ...(interlock && { interlock }) };
    await machine.report({ ...step, ...answered, timing });
    return response;
  } catch (error) {
    await machine.report({ ...step, error: failureOf(error), timing });
    throw error;
  }
}

function unexpected(path: string, answer: Uint8Array): ScriptError {
  const shown = toHex(answer.subarray(0, 16)) || "nothing";
  return new ScriptError("SCRIPT_STEP_FAILED", `${path}: the ECU answered ${shown}`);
}

function hex(text: string): Uint8Array {
  return fromHex(text) ?? new Uint8Array(0);
}
