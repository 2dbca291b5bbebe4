import { ProblemError, type ProblemCode } from "#protocol/api/problem.ts";

/** Does a piece of work when its turn has come. @throws ProblemError when too many wait */
export type Turns = <Result>(work: () => Promise<Result>) => Promise<Result>;

/** Lets so many work at once, has so many more wait, and turns away the rest as `busy`. */
export function createTurns(atOnce: number, maxWaiting: number, busy: ProblemCode): Turns {
  let free = atOnce;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (free > 0) free--;
    else if (waiting.length >= maxWaiting) throw new ProblemError(busy);
    else await new Promise<void>((next) => waiting.push(next));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  };
}
