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

  it("is about what has no name by its id, and leaves out what is not there", () => {
    const data = { status: "success", error: null, ecus: [], targets: [{ ecu_id: "E1" }] };
    const cells = eventCells({ ...event, vin: "V1", kind: "update.finished", data });
    expect(cells.slice(2, 5)).toEqual([
      "V1",
      event.subject,
      'status success; targets [{"ecu_id":"E1"}]',
    ]);
  });
});
