import { Nrc } from "#protocol/uds/nrc.ts";
import { NegativeResponseError } from "#protocol/uds/response.ts";
import { flashEcu, type FlashOptions } from "./flash.ts";
import { backoffMs, type Pace } from "./pace.ts";
import { UdsLinkError, type UdsLink } from "./uds-link.ts";

const TRIES = 3;
const BACKOFF = { backoff_ms: 1_000, max_backoff_ms: 8_000 };

/** What an ECU that has started anew in between has to say to the rest of the flow. */
const forgotten: readonly number[] = [
  Nrc.requestSequenceError,
  Nrc.securityAccessDenied,
  Nrc.wrongBlockSequenceCounter,
  Nrc.subFunctionNotSupportedInActiveSession,
  Nrc.serviceNotSupportedInActiveSession,
];

/**
 * Writes an image as `flashEcu` does, from the beginning again when the connection or the ECU was
 * gone meanwhile.
 * @param image called for each try
 * @throws what `flashEcu` throws
 */
export async function flashPatiently(
  link: UdsLink,
  target: number,
  image: () => FlashOptions,
  pace: Pace,
): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const options = image();
    try {
      return await flashEcu(link, target, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (attempt + 1 >= TRIES || !isInterruption(error)) throw error;
      await pace.wait(backoffMs(attempt, BACKOFF, pace.random), options.signal);
    }
  }
}

function isInterruption(error: unknown): boolean {
  if (error instanceof NegativeResponseError) return forgotten.includes(error.wireCode);
  return error instanceof UdsLinkError;
}
