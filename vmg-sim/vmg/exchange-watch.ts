import type { Clock } from "#protocol/doip/clock.ts";
import type { VehicleTiming } from "#protocol/mqtt/diagnostics.ts";

/** Measures where the time of one request goes. */
export interface ExchangeWatch {
  /** It is sent; of several times the first one counts. */
  sent(): void;
  /** The zonal gateway has acknowledged it. */
  accepted(): void;
  /** A 78 came. */
  pending(): void;
  /** A final answer came; of several the last one counts. */
  answered(): void;
  /** As far as it came. */
  timing(): VehicleTiming;
}

/**
 * Starts to measure: from here on the request waits for its turn.
 * @param onPending called with the first 78
 */
export function exchangeWatch(clock: Clock, onPending?: () => void): ExchangeWatch {
  const asked = clock.now();
  let sent: number | undefined;
  let accepted: number | undefined;
  let firstPending: number | undefined;
  let answered: number | undefined;
  let pendingCount = 0;
  return {
    sent() {
      sent ??= clock.now();
    },
    accepted() {
      accepted ??= clock.now();
    },
    pending() {
      if (firstPending === undefined) onPending?.();
      firstPending ??= clock.now();
      pendingCount += 1;
    },
    answered() {
      answered = clock.now();
    },
    timing: () => ({
      ...span("queue_ms", asked, sent),
      ...span("doip_ack_ms", sent, accepted),
      // An answer may overtake its acknowledgement.
      ...span("ecu_ms", accepted ?? sent, answered),
      ...(sent !== undefined && { pending_count: pendingCount }),
      ...span("pending_ms", firstPending, answered),
    }),
  };
}

function span(name: keyof VehicleTiming, from?: number, to?: number): VehicleTiming {
  if (from === undefined || to === undefined) return {};
  return { [name]: Math.max(0, Math.round((to - from) * 100) / 100) };
}
