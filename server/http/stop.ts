import { ProblemError } from "#protocol/api/problem.ts";
import type { Http } from "./http.ts";

/** How often connections are looked at while the gateway stops. */
const IDLE_LOOK_MS = 50;

/**
 * How a listener ends: it takes no connection, refuses what comes on those that are open, finishes
 * what was accepted, and after `graceMs` cuts off what has still not ended, such as a client that
 * stopped in the middle of its request.
 */
export function finishOnClose(http: Http, graceMs: number): void {
  let stopping = false;
  http.addHook("preClose", async () => {
    stopping = true;
    // A connection that has had its last answer would keep the gateway up for its keep-alive.
    const look = setInterval(() => http.server.closeIdleConnections(), IDLE_LOOK_MS);
    const cut = setTimeout(() => http.server.closeAllConnections(), graceMs);
    http.server.once("close", () => {
      clearInterval(look);
      clearTimeout(cut);
    });
  });
  http.addHook("onRequest", async () => {
    if (stopping) throw new ProblemError("STOPPING");
  });
}
