import { refresh, type Workflow } from "#protocol/uptane/refresh.ts";
import { trustRoot, type Checks, type TrustedRepository } from "#protocol/uptane/trusted.ts";
import { NOW, type TestRepository } from "./test-repository.ts";

/** What a workflow did on its way. */
export interface Trace {
  /** The files it asked for. */
  asked: string[];
  /** The last state it told to persist. */
  persisted: TrustedRepository | undefined;
}

/** Runs a workflow on what a repository serves. */
export function run<T>(workflow: Workflow<T>, { files }: TestRepository, trace?: Trace): T {
  return answering(workflow, (step) => {
    if (step.kind === "accepted") {
      if (trace) trace.persisted = step.trusted;
      return undefined;
    }
    trace?.asked.push(step.file);
    return files.get(step.file);
  });
}

/** Runs any workflow that asks, by a function that answers. */
export function answering<S, T>(
  workflow: Generator<S, T, Uint8Array | undefined>,
  answer: (step: S) => Uint8Array | undefined,
): T {
  let step = workflow.next();
  while (step.done !== true) step = workflow.next(answer(step.value));
  return step.value;
}

/** The trust of a client that was given a repository's first root. */
export function trustOf(repository: TestRepository, checks: Partial<Checks> = {}) {
  const root = repository.files.get("1.root.json");
  if (root === undefined) throw new Error("no root");
  return trustRoot(root, { now: NOW, ...checks });
}

/** The code that a call is refused with. */
export function refusal(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return "accepted";
}

/** A client's trust after a refresh. */
export function refreshed(
  repository: TestRepository,
  trusted = trustOf(repository),
): TrustedRepository {
  return run(refresh(trusted, { now: NOW }), repository);
}

/** What a refresh is refused with. */
export function code(repository: TestRepository, trusted = trustOf(repository)): string {
  return refusal(() => refreshed(repository, trusted));
}
