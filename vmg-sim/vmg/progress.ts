import type { UpdatePhase } from "./update-state.ts";

/** The part of the whole update, in percent, that each phase covers. */
const shares: Partial<Record<UpdatePhase, readonly [from: number, to: number]>> = {
  downloading: [0, 40],
  verifying: [40, 50],
  backing_up: [50, 52],
  installing: [52, 85],
  restarting: [85, 92],
  health_check: [92, 99],
  completed: [100, 100],
};

/**
 * Progress of the whole update, 0 to 100, from how much of a phase is done (0 to 1). Undefined for
 * phases that lead back: they do not bring the update any further.
 */
export function overallProgress(phase: UpdatePhase, done: number): number | undefined {
  const share = shares[phase];
  if (!share) return undefined;
  const [from, to] = share;
  return Math.round((from + (to - from) * Math.min(Math.max(done, 0), 1)) * 10) / 10;
}
