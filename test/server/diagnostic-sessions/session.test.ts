import { describe, expect, it } from "vitest";
import { sessionEndReasons, sessionStatuses } from "#protocol/api/diagnostic-session.ts";
import { roles } from "#server/http/access.ts";
import {
  mayTakeOver,
  nextStatus,
  statusesBefore,
  type SessionInput,
} from "#server/diagnostic-sessions/session.ts";

const inputs: SessionInput[] = [
  { type: "approved" },
  { type: "opened" },
  ...sessionEndReasons.map((reason) => ({ type: "end", reason }) as const),
];
const nameOf = (input: SessionInput) => (input.type === "end" ? input.reason : input.type);

/** From, then what leads where; everything else is refused. */
const table: Record<(typeof sessionStatuses)[number], Record<string, string>> = {
  awaiting_approval: {
    approved: "opening",
    denied: "ended",
    closed: "ended",
    time_over: "ended",
    revoked: "ended",
    operator_revoked: "ended",
  },
  opening: {
    opened: "open",
    closed: "ended",
    refused: "ended",
    lease_expired: "ended",
    time_over: "ended",
    taken_over: "ended",
    revoked: "ended",
    operator_revoked: "ended",
    update_started: "ended",
    vehicle_restarted: "ended",
  },
  open: {
    closed: "ended",
    refused: "ended",
    lease_expired: "ended",
    time_over: "ended",
    taken_over: "ended",
    revoked: "ended",
    operator_revoked: "ended",
    update_started: "ended",
    vehicle_restarted: "ended",
  },
  ended: {},
};

describe("a session", () => {
  it.each(sessionStatuses)("that is %s goes where the table says, and nowhere else", (status) => {
    const actual = inputs.flatMap((input) => {
      const next = nextStatus(status, input);
      return next === undefined ? [] : [[nameOf(input), next] as const];
    });
    expect(Object.fromEntries(actual)).toEqual(table[status]);
  });

  it("knows from where an input leads on, as the database is asked", () => {
    expect(statusesBefore({ type: "approved" })).toEqual(["awaiting_approval"]);
    expect(statusesBefore({ type: "opened" })).toEqual(["opening"]);
    expect(statusesBefore({ type: "end", reason: "denied" })).toEqual(["awaiting_approval"]);
    expect(statusesBefore({ type: "end", reason: "taken_over" })).toEqual(["opening", "open"]);
  });

  it("is taken over by a higher role only", () => {
    const pairs = roles.flatMap((role) =>
      roles.filter((holder) => mayTakeOver(role, holder)).map((holder) => `${role} ${holder}`),
    );
    // Who can't hold a session could not lose one either.
    const without = ["viewer", "campaign_manager", "approver"];
    expect(pairs).toEqual([
      ...without.map((holder) => `diagnostician ${holder}`),
      "release_manager viewer",
      "release_manager diagnostician",
      "release_manager campaign_manager",
      "release_manager approver",
      "admin viewer",
      "admin diagnostician",
      "admin release_manager",
      "admin campaign_manager",
      "admin approver",
    ]);
  });
});
