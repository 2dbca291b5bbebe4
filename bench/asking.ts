import type { DiagnosticResult, DiagnosticSend } from "#protocol/api/diagnostics.ts";
import type { Fleet } from "./fleet.ts";

const WAIT_MS = 10_000;

/**
 * Sends a UDS request and waits until its result is read, in one request where the gateway has the
 * result in time.
 * @throws Error when it ends as anything else than completed
 */
export async function askThroughGateway(fleet: Fleet, ask: DiagnosticSend): Promise<void> {
  const sent = await fleet.operator<Partial<DiagnosticResult> & { request_id: string }>(
    "POST",
    "/diagnostics/send",
    { ...ask, wait_ms: WAIT_MS },
  );
  const { status } = sent.completed_at
    ? sent
    : await fleet.operator<DiagnosticResult>(
        "GET",
        `/diagnostics/results/${sent.request_id}?wait_ms=${WAIT_MS}`,
      );
  if (status !== "completed") throw new Error(`the request ended as ${status}`);
}
