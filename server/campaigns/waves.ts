import type { Wave } from "#protocol/api/campaign.ts";

/** Vehicles of a wave that have ended for good: those that soak have not. */
export interface WaveOutcomes {
  succeeded: number;
  /** Rolled back or not. */
  failed: number;
}

export interface WaveState {
  waves: readonly Wave[];
  /** When each wave opened, in their order. */
  waves_opened: readonly Date[];
  /** Since when the gate of the next wave has been met. */
  gate_met_at: Date | null;
}

/** What becomes of the next wave. */
export type NextWave =
  /** There is none. */
  | { kind: "none" }
  | { kind: "open"; wave: number }
  /** By time alone, or the gate is met and has to hold until then. */
  | { kind: "due"; wave: number; at: Date; gate_met_at: Date | null }
  /** It waits for more vehicles of the wave before to end, or for fewer of them to have failed. */
  | { kind: "gated"; wave: number; waits_for: "finished_vehicles" | "fewer_failures" };

const MINUTE = 60_000;

/**
 * Does the next wave open? Waves open one by one, each counted from when the one before really
 * opened: what a pause, a standstill of the gateway or a clock that jumps has made due all at once
 * does not come all at once.
 * @param before of the wave that was opened last
 */
export function nextWave(state: WaveState, before: WaveOutcomes, now: Date): NextWave {
  const wave = state.waves_opened.length;
  const next = state.waves[wave];
  if (next === undefined) return { kind: "none" };
  const opened = state.waves_opened.at(-1);
  if (opened === undefined || next.gate === undefined) return { kind: "open", wave };
  if ("after_min" in next.gate) {
    return dueOrOpen(wave, new Date(opened.getTime() + next.gate.after_min * MINUTE), null, now);
  }
  const { min_finished, max_failure_rate, soak_min } = next.gate;
  const finished = before.succeeded + before.failed;
  if (finished < min_finished) return { kind: "gated", wave, waits_for: "finished_vehicles" };
  if (before.failed / finished > max_failure_rate) {
    return { kind: "gated", wave, waits_for: "fewer_failures" };
  }
  const met = state.gate_met_at ?? now;
  return dueOrOpen(wave, new Date(met.getTime() + soak_min * MINUTE), met, now);
}

function dueOrOpen(wave: number, at: Date, gate_met_at: Date | null, now: Date): NextWave {
  return at <= now ? { kind: "open", wave } : { kind: "due", wave, at, gate_met_at };
}
