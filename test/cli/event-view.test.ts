import { describe, expect, it } from "vitest";
import { eventCells } from "#cli/event-view.ts";

const event = { id: "7-1", at: "2026-01-19T20:00:00Z", vin: null, subject: "0198c7a0-…" };

describe("an event", () => {
  it("is about a campaign or a firmware by its name, and tells what else is known", () => {
    const reason = { code: "CAMPAIGN_BY_OPERATOR", detail: "ann: Go" };
    const data = { name: "Brakes", from: "scheduled", by: "operator:ann", reason, revision: 3 };
    expect(eventCells({ ...event, kind: "campaign.started", data }).slice(1)).toEqual([
      "campaign.started",
      "",
      "Brakes",
      "from scheduled; by operator:ann; ann: Go (CAMPAIGN_BY_OPERATOR); revision 3",
      "7-1",
    ]);
    const firmware = { ecu_type: "brake", version: "1.2.0", channel: "beta" };
    const cells = eventCells({ ...event, kind: "firmware.published", data: firmware });
    expect(cells.slice(3, 5)).toEqual(["brake 1.2.0", "channel beta"]);
  });

  it("is about an update by what it brings, and about a policy by its name", () => {
    const ecus = [{ ecu_id: "E1", from_version: "1.0.0", to_version: "1.2.0" }];
    const data = { ecus, status: "success", error: null };
    const cells = eventCells({ ...event, vin: "V1", kind: "update.finished", data });
    expect(cells.slice(2, 5)).toEqual(["V1", "E1 1.2.0", "status success"]);
    const changed = { before: { name: "nights" } };
    expect(eventCells({ ...event, kind: "policy.changed", data: changed })[3]).toBe("nights");
  });

  it("is about what has no name by its id, and leaves out what is not there", () => {
    const cells = eventCells({ ...event, kind: "webhook.dead", data: { delivery_id: 7, why: [] } });
    expect(cells.slice(3, 5)).toEqual(["", `delivery_id 7; id ${event.subject}`]);
    const bare = eventCells({ ...event, subject: null, kind: "webhook.test", data: {} });
    expect(bare.slice(3, 5)).toEqual(["", ""]);
  });
});
