/**
 * Runs a workflow to its end. Whatever it asks is answered by `answer`: a file that it needs by its
 * bytes or, if there is none, by undefined; anything else by undefined when it is done.
 */
export async function runWorkflow<S, T>(
  workflow: Generator<S, T, Uint8Array | undefined>,
  answer: (step: S) => Promise<Uint8Array | undefined>,
): Promise<T> {
  let step = workflow.next();
  while (step.done !== true) step = workflow.next(await answer(step.value));
  return step.value;
}
