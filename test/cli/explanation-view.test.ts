import { describe, expect, it } from "vitest";
import { explanationText } from "#cli/explanation-view.ts";
import type { Explanation } from "#protocol/api/explain.ts";
import { loadServerConfig } from "#config/server.ts";

const ecu: Explanation["ecus"][number] = {
  ...{ ecu_id: "ECU_001", hardware_version: "HW-1.0", software_version: "1.0.0" },
  offer: "none",
  after_bundles: null,
  reasons: [{ code: "CAMPAIGN_ONLY", detail: "1.2.0 comes by a campaign only" }],
};

describe("an explanation", () => {
  it("says of each ECU whether it gets the firmware, and whole below why not", () => {
    const text = explanationText({
      vin: "VMG-001",
      firmware: {
        firmware_id: "019c2f4e-7d3a-7b10-8c55-5f2d6c1b9e01",
        ecu_type: "brake",
        version: "1.2.0",
        channel: "stable",
        availability: "campaign",
      },
      verdict: "not_offered",
      reasons: [],
      ecus: [ecu, { ...ecu, ecu_id: "ECU_002", offer: "later", after_bundles: 2, reasons: [] }],
      ...{ campaigns: [], update: null },
      policy: {
        source: "default",
        policy_id: null,
        name: null,
        settings: loadServerConfig({}).policies.default,
      },
    });
    expect(text).toMatch(
      /\nECU_001 +HW-1\.0 +1\.0\.0 +no\nECU_002 .* after 2 updates\n {2}ECU_001: 1\.2\.0 comes by a campaign only \(CAMPAIGN_ONLY\)\n/,
    );
  });
});
