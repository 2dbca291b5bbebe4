import { randomUUIDv7 } from "node:crypto";
import { STATUS_CODES, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { problems, type Problem, type ProblemCode } from "#protocol/api/problem.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";

/**
 * Answers bytes that are no HTTP request, for which there is neither route nor request object, with
 * a problem document too (RFC 9112 §2.2, §3.2; RFC 9110 §15.5.9; RFC 6585 §5), and closes.
 */
export function answerUnreadable({ log, metrics }: { log: Log; metrics: Metrics }) {
  return (error: NodeJS.ErrnoException, socket: Socket): void => {
    const code = codeOf(error);
    // A failed handshake comes by here too; it has been reported, and has nobody to answer.
    if (code === undefined || !socket.writable) {
      socket.destroy();
      return;
    }
    const trace_id = randomUUIDv7();
    metrics.httpUnreadable.inc({ reason: code });
    log.warn(
      { remote: socket.remoteAddress, code, trace_id },
      `[HTTPS] Request refused: ${error.message}`,
    );
    if (isAnswering(socket)) socket.destroy();
    else socket.end(answer(code, trace_id), () => socket.destroy());
  };
}

function codeOf({ code = "" }: NodeJS.ErrnoException): ProblemCode | undefined {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") return "REQUEST_TIMEOUT";
  if (code === "HPE_HEADER_OVERFLOW") return "HEADERS_TOO_LARGE";
  return code.startsWith("HPE_") ? "HTTP_MALFORMED" : undefined;
}

/** Bytes put into an answer that has begun would corrupt it; Node looks at the same field. */
function isAnswering(socket: Socket): boolean {
  const { _httpMessage } = socket as { _httpMessage?: ServerResponse | null };
  return _httpMessage?.headersSent ?? false;
}

function answer(code: ProblemCode, trace_id: string): string {
  const { status, title } = problems[code];
  const problem: Problem = {
    type: `urn:latticeway:problem:${code}`,
    title,
    status,
    code,
    trace_id,
  };
  const body = JSON.stringify(problem);
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "content-type: application/problem+json",
    `content-length: ${Buffer.byteLength(body)}`,
    `date: ${new Date().toUTCString()}`,
    "connection: close",
    "",
    body,
  ].join("\r\n");
}
