import { scriptLimits, type DiagnosticScript, type ScriptStep } from "./diagnostic-script.ts";

/** Every step of a script, its cleanup and steps of steps included, in the order of its text. */
export function everyStep(script: DiagnosticScript): ScriptStep[] {
  return [...withDepth(script)].map(({ step }) => step);
}

/** Which limit that no schema can hold it to a script is beyond; undefined when it keeps them. */
export function limitExceeded(script: DiagnosticScript): string | undefined {
  let count = 0;
  for (const { depth } of withDepth(script)) {
    count += 1;
    if (depth > scriptLimits.depth) return `it is more than ${scriptLimits.depth} deep`;
    if (count > scriptLimits.steps) return `it has more than ${scriptLimits.steps} steps`;
  }
  return undefined;
}

interface Placed {
  step: ScriptStep;
  /** 1 for a step of no other. */
  depth: number;
}

function* withDepth({ steps, cleanup = [] }: DiagnosticScript): Generator<Placed> {
  yield* placed([...steps, ...cleanup], 1);
}

function* placed(steps: readonly ScriptStep[], depth: number): Generator<Placed> {
  for (const step of steps) {
    yield { step, depth };
    yield* placed(childrenOf(step), depth + 1);
  }
}

function childrenOf(step: ScriptStep): ScriptStep[] {
  if ("if" in step) return [...step.then, ...(step.else ?? [])];
  return "repeat" in step ? step.steps : [];
}
