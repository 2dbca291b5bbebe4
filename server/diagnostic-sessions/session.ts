import {
  sessionStatuses,
  type SessionEndReason,
  type SessionStatus,
} from "#protocol/api/diagnostic-session.ts";
import { Sid } from "#protocol/uds/service.ts";
import type { Role } from "#server/http/access.ts";

export type SessionInput =
  | { type: "approved" }
  /** The vehicle says that the ECU is in the session. */
  | { type: "opened" }
  | { type: "end"; reason: SessionEndReason };

/** Ends that can only come to one that has not been approved yet, and those that can't. */
const beforeApproval: readonly SessionEndReason[] = [
  "denied",
  "closed",
  "time_over",
  "revoked",
  "operator_revoked",
];

/**
 * The next status, or undefined when the input changes nothing or can't be: it came twice, or after
 * the end. A session that was opened again after the vehicle had forgotten it may still be refused.
 */
export function nextStatus(status: SessionStatus, input: SessionInput): SessionStatus | undefined {
  switch (status) {
    case "awaiting_approval":
      if (input.type === "approved") return "opening";
      return input.type === "end" && beforeApproval.includes(input.reason) ? "ended" : undefined;
    case "opening":
      if (input.type === "opened") return "open";
      return input.type === "end" && input.reason !== "denied" ? "ended" : undefined;
    case "open":
      return input.type === "end" && input.reason !== "denied" ? "ended" : undefined;
    case "ended":
      return undefined;
  }
}

/** The statuses in which an input changes something. */
export function statusesBefore(input: SessionInput): SessionStatus[] {
  return sessionStatuses.filter((status) => nextStatus(status, input) !== undefined);
}

/** Higher takes the session of lower. */
const ranks: Record<Role, number> = {
  viewer: 0,
  campaign_manager: 0,
  approver: 0,
  diagnostician: 1,
  release_manager: 2,
  admin: 3,
};

export function mayTakeOver(role: Role, holder: Role): boolean {
  return ranks[role] > ranks[holder];
}

/** The UDS request that enters a session. */
export function sessionRequest(udsSession: number): Uint8Array {
  return Uint8Array.of(Sid.diagnosticSessionControl, udsSession);
}
