import Type, { type Static } from "typebox";
import { Timestamp, Uuid, VehicleId } from "#protocol/api/identifier.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { diagnosticLevels } from "#protocol/uds/level.ts";
import type { Operator } from "#server/http/access.ts";
import { samePerson } from "#server/http/operator-name.ts";
import { reaches } from "./policy.ts";

/** What waits for a second operator. */
export const subjectKinds = ["request", "session", "script"] as const;
export type SubjectKind = (typeof subjectKinds)[number];

export const approvalStates = ["pending", "approved", "rejected", "expired"] as const;
export type ApprovalState = (typeof approvalStates)[number];

export const Approval = Type.Object({
  approval_id: Uuid,
  subject_kind: Type.Enum(subjectKinds),
  subject: Type.String({ description: "Id of the request, session or script" }),
  vin: VehicleId,
  requested_by: Type.String({ description: "Name of the operator, who may not decide" }),
  reason: Type.String({ description: "What the policy says" }),
  summary: Type.String({ description: "What is to be done" }),
  level: Type.Enum(diagnosticLevels, { description: "What whoever decides must reach" }),
  state: Type.Enum(approvalStates),
  created_at: Timestamp,
  expires_at: Timestamp,
  decided_by: Type.Union([Type.String(), Type.Null()]),
  decided_at: Type.Union([Timestamp, Type.Null()]),
  comment: Type.Union([Type.String(), Type.Null()]),
});
export type Approval = Static<typeof Approval>;

/**
 * Refuses who may not decide. A person may have tokens of several roles: it is the name that counts.
 * @throws ProblemError APPROVAL_OWN, APPROVAL_LEVEL_REQUIRED, APPROVAL_DECIDED
 */
export function demandDecider(approval: Approval, operator: Operator, now: Date): void {
  if (samePerson(approval.requested_by, operator.name)) {
    throw new ProblemError("APPROVAL_OWN", `${approval.requested_by} has asked for it`);
  }
  if (!reaches(operator.diagnostic_level, approval.level)) {
    throw new ProblemError(
      "APPROVAL_LEVEL_REQUIRED",
      `needs ${approval.level}, not ${operator.diagnostic_level}`,
    );
  }
  if (approval.state !== "pending" || Date.parse(approval.expires_at) <= now.getTime()) {
    const state = approval.state === "pending" ? "expired" : approval.state;
    throw new ProblemError("APPROVAL_DECIDED", `it is ${state}`);
  }
}
