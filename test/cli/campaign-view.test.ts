import { describe, expect, it } from "vitest";
import type { CampaignProgress } from "#protocol/api/campaign-progress.ts";
import { progressText } from "#cli/campaign-view.ts";

const none = {
  ...{ started: 0, waiting: 0, updating: 0, soaking: 0, succeeded: 0, failed: 0, rolled_back: 0 },
  ...{ reverted: 0, silent: 0, new_dtcs: 0, failure_rate: null, success_rate: null },
};

const textWith = (
  next_wave: CampaignProgress["next_wave"],
  total = none,
  state: CampaignProgress["state"] = "running",
) =>
  progressText({
    campaign_id: "019c2f4e-7d3a-7b10-8c55-5f2d6c1b9e01",
    state,
    ...{ total, waves: [], groups: [], next_wave, stop_rule: null },
    ...{ retrying: false, reverting: false, running_s: 60 },
  });

describe("a campaign's progress", () => {
  it("says since when it runs, and how long it ran", () => {
    expect(textWith(null)).toMatch(/^The campaign is running; it started 60 s ago\.\n/);
    expect(textWith(null, none, "stopped")).toMatch(
      /^The campaign is stopped; it ran for 60 s\.\n/,
    );
  });

  it("has columns for what is seldom where there is something, and fits 80 columns without", () => {
    const headings = (total: typeof none) =>
      textWith(null, total)
        .split("\n")
        .find((line) => line.includes("STARTED")) ?? "";
    expect(headings(none)).not.toMatch(/SOAKING|ROLLED BACK|REVERTED/);
    expect(headings({ ...none, soaking: 1, reverted: 2 })).toMatch(/SOAKING .*REVERTED/);
    expect(headings(none).length).toBeLessThanOrEqual(80);
  });

  it("says what the next wave waits for, and how far that is", () => {
    const gate = { finished: 12, min_finished: 50, failed: 1, max_failure_rate: 0.02 };
    const gated = { wave: 1, opens_at: null, waits_for: "finished_vehicles", gate } as const;
    expect(textWith(gated)).toContain(
      "Wave 2 opens when enough vehicles are through. Of wave 1, 12 are through of at least 50; 1 failed (2.0 % are allowed).",
    );
    const timed = { wave: 1, opens_at: null, waits_for: "campaign", gate: null } as const;
    expect(textWith(timed)).toMatch(/Wave 2 opens when the campaign runs\.$/);
  });
});
