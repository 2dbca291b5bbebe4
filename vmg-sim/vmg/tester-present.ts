import type { Logger } from "pino";
import type { Clock } from "#protocol/doip/clock.ts";
import { Sid, SUPPRESS_POSITIVE } from "#protocol/uds/service.ts";
import type { NetworkEcu } from "./vehicle-network.ts";

/** Well within S3 of the server, 5 s (ISO 14229-2). */
const EVERY_MS = 2_000;

const TESTER_PRESENT = Uint8Array.of(Sid.testerPresent, SUPPRESS_POSITIVE);

/**
 * Keeps an ECU's session from running out, also while requests are under way: what the ECU works on
 * stops S3, but not every ECU keeps to that. @returns what ends it
 */
export function keepPresent(
  { link, logical_address, ecu_id }: NetworkEcu,
  clock: Clock,
  log: Logger,
): () => void {
  let stopped = false;
  let cancel = clock.after(EVERY_MS, beat);
  function beat(): void {
    // A zonal gateway that is away is asked again with the next beat.
    link
      .tell(logical_address, TESTER_PRESENT)
      .catch((error: unknown) => log.debug({ err: error, ecu_id }, "no tester present"))
      .finally(() => {
        if (!stopped) cancel = clock.after(EVERY_MS, beat);
      });
  }
  return () => {
    stopped = true;
    cancel();
  };
}
