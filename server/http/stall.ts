import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Log } from "#server/runtime/log.ts";
import type { Http } from "./http.ts";

/**
 * Cuts off a connection on which nothing moved for `stallMs` in the middle of a request's body or of
 * an answer. There is no limit to how long either may take as long as it moves, and none to how long
 * the gateway may think about a request that it has read. Headers have a limit of Node's own.
 */
export function cutStalled(http: Http, stallMs: number, log: Log): void {
  const latest = new WeakMap<Socket, { request: IncomingMessage; response: ServerResponse }>();
  http.addHook("onRequest", async ({ raw: request }, { raw: response }) => {
    latest.set(request.socket, { request, response });
  });
  http.server.setTimeout(stallMs, (socket) => {
    const { request, response } = latest.get(socket) ?? {};
    if (request === undefined || response === undefined) return;
    const isOurTurn = request.complete && !response.headersSent;
    if (isOurTurn) return;
    // Node tells of the end of a keep-alive in the same way.
    const isBetweenRequests = request.complete && response.writableFinished;
    if (!isBetweenRequests)
      log.warn({ remote: socket.remoteAddress }, "[HTTPS] Stalled connection cut off");
    socket.destroy();
  });
}
