import type { Log } from "./log.ts";

/**
 * Does work that comes again, and whose failure keeps nothing from what is done after it.
 * @param about says in the log what has failed
 * @returns undefined where it failed
 */
export async function isolated<Result>(
  log: Log,
  about: Record<string, string>,
  work: () => Promise<Result>,
): Promise<Result | undefined> {
  try {
    return await work();
  } catch (error) {
    log.error({ err: error, ...about }, "Maintenance failed; trying again later");
    return undefined;
  }
}
