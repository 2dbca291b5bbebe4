import { Compile } from "typebox/compile";
import { scriptStatuses, type ScriptStatus } from "#protocol/api/diagnostic-script.ts";
import { ProblemError, type Problem } from "#protocol/api/problem.ts";
import { fromHex, toHex } from "#protocol/bytes/hex.ts";
import {
  DiagnosticScript,
  scriptLimits,
  type ScriptStep,
} from "#protocol/mqtt/diagnostic-script.ts";
import { everyStep, limitExceeded } from "#protocol/mqtt/script-steps.ts";
import { Sid } from "#protocol/uds/service.ts";
import { scriptFaults } from "./script-faults.ts";

const schema = Compile(DiagnosticScript);
const MAX_FAULTS = 10;
/** Of JSON: each step of a step is two deeper. */
const MAX_NESTING = 2 * (scriptLimits.depth + 3);

/**
 * A script as a vehicle takes it: hex in upper case without blanks, within its limits.
 * @throws ProblemError SCRIPT_INVALID
 */
export function parseScript(given: unknown): DiagnosticScript {
  if (!isWithin(given, MAX_NESTING)) throw invalid("it is nested too deep");
  const script = normalised(given);
  if (!schema.Check(script)) {
    const faults = scriptFaults(script).take(MAX_FAULTS).toArray();
    const [first] = faults;
    throw invalid(first ? `${first.path} ${first.message}` : "it does not fit its schema", faults);
  }
  const exceeded = limitExceeded(script);
  if (exceeded !== undefined) throw invalid(exceeded);
  const even = everyStep(script).find((step) => "unlock" in step && step.unlock % 2 === 0);
  if (even) throw invalid("a level is unlocked by its odd sub-function");
  const { named, asked } = namesOf(script);
  const stranger = asked.find((name) => !named.has(name));
  if (stranger !== undefined) throw invalid(`no answer is named ${stranger}`);
  return script;
}

/** Every request that a run could send, each once. */
export function requestsOf(script: DiagnosticScript): Uint8Array[] {
  const requests = new Set<string>();
  for (const step of everyStep(script)) {
    if ("request" in step) requests.add(step.request);
    if ("unlock" in step) {
      requests.add(toHex(Uint8Array.of(Sid.securityAccess, step.unlock)));
      requests.add(toHex(Uint8Array.of(Sid.securityAccess, step.unlock + 1)));
    }
    if ("authenticate" in step) for (const each of authentication) requests.add(each);
  }
  return [...requests].map((hex) => Buffer.from(hex, "hex"));
}

/** The requests whose answers a script gives this name. */
export function requestsNamed(script: DiagnosticScript, name: string): Uint8Array[] {
  return everyStep(script).flatMap((step) =>
    "request" in step && step.as === name ? [Buffer.from(step.request, "hex")] : [],
  );
}

/** VerifyCertificateUnidirectional, then proofOfOwnership (ISO 14229-1, 10.6). */
const authentication = ["2901", "2903"];

/** May a run answer such a challenge: is there a step that asks for it? */
export function mayProve(
  script: DiagnosticScript,
  { service, level }: { service: 0x27 | 0x29; level?: number | undefined },
): boolean {
  return everyStep(script).some((step) =>
    service === Sid.securityAccess
      ? "unlock" in step && step.unlock === level
      : "authenticate" in step,
  );
}

/** The step at a place such as `steps/2/then/0`; undefined when there is none. */
export function stepAt(script: DiagnosticScript, path: string): ScriptStep | undefined {
  let place: unknown = script;
  for (const key of path.split("/")) {
    if (typeof place !== "object" || place === null || !Object.hasOwn(place, key)) return undefined;
    place = (place as Record<string, unknown>)[key];
  }
  return typeof place === "object" && !Array.isArray(place) ? (place as ScriptStep) : undefined;
}

export type ScriptInput =
  | { type: "approved" }
  | { type: "sent" }
  /** A first sign of the run. */
  | { type: "step" }
  | { type: "end"; status: "completed" | "failed" | "cancelled" | "expired" | "denied" };

/** The next status, or undefined when the input changes nothing or comes after the end. */
export function nextScriptStatus(
  status: ScriptStatus,
  input: ScriptInput,
): ScriptStatus | undefined {
  if (isOver(status)) return undefined;
  const waits = status === "awaiting_approval";
  switch (input.type) {
    case "approved":
      return waits ? "queued" : undefined;
    case "sent":
      return status === "queued" ? "sent" : undefined;
    case "step":
      return status === "queued" || status === "sent" ? "running" : undefined;
    case "end":
      switch (input.status) {
        case "denied":
          return waits ? "denied" : undefined;
        case "completed":
        case "failed":
          return waits ? undefined : input.status;
        case "cancelled":
        case "expired":
          return input.status;
      }
  }
}

/** The statuses in which an input changes something. */
export function scriptStatusesBefore(input: ScriptInput): ScriptStatus[] {
  return scriptStatuses.filter((status) => nextScriptStatus(status, input) !== undefined);
}

export function isOver(status: ScriptStatus): boolean {
  return scriptStatuses.indexOf(status) >= scriptStatuses.indexOf("completed");
}

function invalid(detail: string, errors?: Problem["errors"]): ProblemError {
  return new ProblemError("SCRIPT_INVALID", detail, errors);
}

/** The names that answers are given, and those that conditions ask for. */
function namesOf(script: DiagnosticScript): { named: Set<string>; asked: string[] } {
  const named = new Set<string>();
  const asked: string[] = [];
  for (const step of everyStep(script)) {
    if ("request" in step && step.as !== undefined) named.add(step.as);
    if ("if" in step) asked.push(step.if.answer);
    if ("repeat" in step && step.repeat.until) asked.push(step.repeat.until.answer);
  }
  return { named, asked };
}

function isWithin(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return depth > 0 && Object.values(value).every((inner) => isWithin(inner, depth - 1));
}

const hexKeys = new Set(["request", "expect", "mask", "equals", "is"]);
const words = new Set(["any", "positive", "negative"]);

/** Hex as people write it becomes hex as it is sent; what is no hex is left for the schema to refuse. */
function normalised(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(normalised);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      hexKeys.has(key) && typeof inner === "string" && !words.has(inner)
        ? upperHex(inner)
        : normalised(inner),
    ]),
  );
}

/** Digits are never joined over a blank: `1 2` could mean two things. */
function upperHex(text: string): string {
  const parts = text.split(/\s+/).filter((part) => part !== "");
  const bytes = parts.map((part) => fromHex(part));
  if (bytes.some((each) => each === undefined)) return text;
  return bytes.map((each) => (each ? toHex(each) : "")).join("");
}
