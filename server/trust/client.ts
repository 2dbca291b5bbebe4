import type { Workflow } from "#protocol/uptane/refresh.ts";

/** A repository as a client would find it. */
export interface Served {
  roots: readonly { version: number; bytes: Uint8Array }[];
  /** The newest file of another role. */
  file: (role: string) => Uint8Array | undefined;
}

/** Runs a client's workflow on a repository that is at hand. @throws UptaneError what it refuses */
export function answerFrom<T>(workflow: Workflow<T>, { roots, file }: Served): T {
  let step = workflow.next();
  while (step.done !== true) {
    step = workflow.next(step.value.kind === "fetch" ? fetch(step.value) : undefined);
  }
  return step.value;

  function fetch({ role, file: name }: { role: string; file: string }): Uint8Array | undefined {
    if (role !== "root") return file(role);
    return roots.find(({ version }) => `${version}.root.json` === name)?.bytes;
  }
}
