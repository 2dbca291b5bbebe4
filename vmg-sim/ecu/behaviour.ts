/** How an ECU differs from a healthy one. Everything left out is as it should be. */
export interface EcuBehaviour {
  /** Each answer takes this long; 78s keep the tester waiting. */
  slowMs?: number;
  /** Erasing a bank takes this long. */
  eraseMs?: number;
  /** Time without a connection after a reset. */
  bootMs?: number;
  /** Takes requests and never answers. */
  silent?: boolean;
  /** The next so many requests are answered with 21. */
  busyRequests?: number;
  /** Answers with the response to another service. */
  wrongAnswer?: boolean;
  /** Sends its answers under this logical address instead of its own. */
  answersFrom?: number;
  /** Restarts without an answer when it is asked for this service, by its SID. */
  resetAtService?: number;
  /** Restarts without an answer instead of taking this block of a transfer, counted from 1. */
  resetAtBlock?: number;
  /** Fails to write this block of a transfer. */
  failAtBlock?: number;
  /** The ECU's own tests run, at once and in each operation cycle, and those of these DTCs fail. */
  failingTests?: readonly string[];
  /** The self test fails while a new image runs on trial. */
  unhealthyAfterUpdate?: boolean;
}
