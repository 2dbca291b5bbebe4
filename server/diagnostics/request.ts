import type { DiagnosticStatus } from "#protocol/api/diagnostics.ts";
import { fromHex } from "#protocol/bytes/hex.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { DiagnosticResponse } from "#protocol/mqtt/diagnostics.ts";
import type { DiagnosticError, RawResponse } from "./table.ts";

/** ISO 15765-2 carries at most this much in one message; DoIP more, ECUs seldom. */
const MAX_REQUEST_BYTES = 4095;
const NEGATIVE_RESPONSE = 0x7f;

/** How a request ended, or what to do after an attempt that brought nothing. */
export type Outcome =
  | { status: DiagnosticStatus; responses: RawResponse[]; error?: DiagnosticError }
  | "retry";

/**
 * The bytes of a UDS request.
 * @throws ProblemError DIAGNOSTIC_INVALID
 */
export function requestBytes(serviceId: string, data: string | undefined): Buffer {
  const parts = [serviceId, ...(data ?? "").split(/\s+/).filter((part) => part !== "")];
  const bytes = Buffer.concat(parts.map(wholeBytes));
  if (bytes.length > MAX_REQUEST_BYTES) {
    throw new ProblemError(
      "DIAGNOSTIC_INVALID",
      `${bytes.length} bytes, at most ${MAX_REQUEST_BYTES} fit`,
    );
  }
  return bytes;
}

/** `F190` or `0xF190`. Digits are never joined over a blank: `1 2` could mean two things. */
function wholeBytes(text: string): Buffer {
  const bytes = fromHex(text);
  if (bytes === undefined || bytes.length === 0)
    throw new ProblemError(
      "DIAGNOSTIC_INVALID",
      `${JSON.stringify(text)} is not whole bytes of hex`,
    );
  return bytes;
}

/** What a vehicle's answer means for a request, when `more` attempts are left. */
export function outcomeOf(response: DiagnosticResponse, more: boolean): Outcome {
  if (!response.success) return afterFailure(response, more);
  const responses = responsesOf(response);
  const [only] = responses;
  const negative = response.responses === undefined && only !== undefined && isNegative(only);
  return { status: negative ? "negative_response" : "completed", responses };
}

/** An attempt that nothing at all came back from. */
export function outcomeOfSilence(timeoutMs: number, more: boolean): Outcome {
  if (more) return "retry";
  const message = `no answer from the vehicle within ${timeoutMs} ms`;
  return { status: "timeout", responses: [], error: { code: "VEHICLE_TIMEOUT", message } };
}

/** What asking again can't change. */
const final = [
  "ECU_UNKNOWN",
  "REQUEST_INVALID",
  "PROGRAMMING_REFUSED",
  "SESSION_UNKNOWN",
  "ECU_IN_SESSION",
  "CANCELLED",
  "REVOKED",
];
const statusOf: Readonly<Record<string, DiagnosticStatus>> = {
  UDS_TIMEOUT: "timeout",
  VEHICLE_BUSY: "denied",
  PROGRAMMING_REFUSED: "denied",
  SESSION_UNKNOWN: "denied",
  ECU_IN_SESSION: "denied",
  REVOKED: "denied",
  CANCELLED: "cancelled",
};

function afterFailure({ error }: DiagnosticResponse, more: boolean): Outcome {
  const { code, message } = error ?? { code: "UNSPECIFIED", message: "the vehicle gave no reason" };
  if (more && !final.includes(code)) return "retry";
  const status = statusOf[code] ?? "network_error";
  return { status, responses: [], error: { code, message } };
}

function responsesOf({ ecu_id, response_data, responses }: DiagnosticResponse): RawResponse[] {
  if (responses) return responses;
  // A request with the suppress bit set is carried out without an answer.
  return ecu_id === undefined || !response_data ? [] : [{ ecu_id, response_data }];
}

function isNegative({ response_data }: RawResponse): boolean {
  return Number.parseInt(response_data.slice(0, 2), 16) === NEGATIVE_RESPONSE;
}
