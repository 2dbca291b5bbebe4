import { describe, expect, it } from "vitest";
import { commandStatuses } from "#protocol/api/command.ts";
import { before, mayBecome } from "#server/commands/command.ts";

/** Which statuses each one may come to: the whole table. */
const table = {
  queued: [
    "sent",
    "delivered",
    "accepted",
    "completed",
    "failed",
    "rejected",
    "expired",
    "cancelled",
  ],
  sent: ["delivered", "accepted", "completed", "failed", "rejected", "expired"],
  delivered: ["accepted", "completed", "failed", "rejected", "expired"],
  accepted: ["completed", "failed", "rejected", "expired"],
  completed: [],
  failed: [],
  rejected: [],
  // A vehicle that was late has done it all the same.
  expired: ["completed", "failed", "rejected"],
  // One that was sent at that moment, too.
  cancelled: ["completed", "failed", "rejected"],
} as const;

const pairs = commandStatuses.flatMap((from) => commandStatuses.map((to) => [from, to] as const));

describe("a command", () => {
  it.each(pairs)("%s → %s", (from, to) => {
    expect(mayBecome(from, to)).toBe((table[from] as readonly string[]).includes(to));
  });

  it("is asked for by exactly those statuses that may come there", () => {
    for (const to of commandStatuses) {
      expect(before(to)).toEqual(commandStatuses.filter((from) => mayBecome(from, to)));
    }
  });
});
