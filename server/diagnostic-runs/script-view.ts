import type { ScriptRun, ScriptStepResult } from "#protocol/api/diagnostic-script.ts";
import { toHex } from "#protocol/bytes/hex.ts";
import type { Catalogue } from "#protocol/uds/catalogue.ts";
import { decodeExchange } from "#protocol/uds/decode.ts";
import { requestsNamed } from "./script.ts";
import { relate } from "#protocol/uds/response.ts";
import type { ScriptRow, StepRow } from "./script-queries.ts";

/** A run as operators read it. */
export function asRun(row: ScriptRow, catalogue: Catalogue): ScriptRun {
  return {
    script_id: row.script_id,
    vin: row.vin,
    ecu_id: row.ecu_id,
    session_id: row.session_id,
    script: row.script,
    status: row.status,
    operator: row.operator,
    reason: row.reason,
    max_s: row.max_s,
    cancelled_by: row.cancelled_by,
    answers: Object.fromEntries(
      Object.entries(row.answers).map(([name, response_data]) => [
        name,
        { response_data, decoded: decodedAnswer(row, name, response_data, catalogue) },
      ]),
    ),
    steps: row.steps,
    error: row.error,
    created_at: row.created_at.toISOString(),
    expires_at: row.expires_at.toISOString(),
    completed_at: row.completed_at?.toISOString() ?? null,
  };
}

/** As the answer to whichever request of that name it fits. */
function decodedAnswer({ script }: ScriptRow, name: string, hex: string, catalogue: Catalogue) {
  const response = Buffer.from(hex, "hex");
  const requests = requestsNamed(script, name);
  const request = requests.find((each) => relate(each, response).kind !== "unrelated");
  return request ? decodeExchange(request, response, catalogue) : null;
}

export function asStep(step: StepRow, catalogue: Catalogue): ScriptStepResult {
  const { request, response } = step;
  return {
    seq: step.seq,
    path: step.path,
    request_data: request && toHex(request),
    response_data: response && toHex(response),
    decoded: request && decodeExchange(request, response ?? undefined, catalogue),
    interlock: step.interlock,
    error: step.error,
    timing: step.timing,
    ts: step.at.toISOString(),
  };
}
