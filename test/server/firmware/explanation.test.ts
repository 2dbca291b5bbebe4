import { expect, test } from "vitest";
import { explainRelease } from "#server/firmware/explanation.ts";
import type { Release } from "#server/firmware/release.ts";

const inventory = [
  ["ECU_1", "1.0.0", "HW-1"],
  ["ECU_2", "1.0.0", "HW-2"],
  ["ECU_3", "2.0.0", "HW-1"],
  ["ECU_4", "2.0.0+b", "HW-1"],
  ["ECU_5", "2.5.0", "HW-1"],
].map(([ecu_id = "", software_version = "", hardware_version = ""]) => ({
  ecu_id,
  zone_id: "ZG-FRONT",
  ecu_type: "brake",
  hardware_version,
  software_version,
}));

function release(version: string, change: Partial<Release> = {}): Release {
  return {
    firmware_id: `fw-${version}`,
    ecu_type: "brake",
    version,
    hardware_versions: ["HW-1"],
    channel: "stable",
    min_current_version: null,
    requires: [],
    availability: "channel",
    critical: false,
    size: 1000,
    ...change,
  };
}

function verdicts(catalogue: readonly Release[], id: string, only?: ReadonlySet<string>) {
  return explainRelease(inventory, catalogue, "stable", id, { only })?.ecus.map(
    ({ ecu: _, ...verdict }) => verdict,
  );
}

/** The codes only. */
function reasons(catalogue: readonly Release[], id: string, only?: ReadonlySet<string>) {
  return verdicts(catalogue, id, only)?.map((verdict) =>
    verdict.offer === "none" ? verdict.reasons.map(({ reason }) => reason) : verdict.offer,
  );
}

test("a release is explained for each ECU of its type", () => {
  expect(reasons([release("2.0.0")], "fw-2.0.0")).toEqual([
    "now",
    ["NO_FIRMWARE_FOR_HARDWARE"],
    "installed",
    ["OTHER_BUILD_INSTALLED"],
    "newer_installed",
  ]);
});

test("a release behind a step is offered once the step is installed", () => {
  const catalogue = [release("3.0.0", { min_current_version: "2.0.0" }), release("2.0.0")];
  expect(verdicts(catalogue, "fw-3.0.0")?.[0]).toEqual({ offer: "later", after_bundles: 1 });
});

test("every reason against a release is given, none hides another", () => {
  const change = {
    channel: "beta" as const,
    availability: "campaign" as const,
    min_current_version: "2.7.0",
    requires: [
      { ecu_type: "lidar", min_version: "1.0.0" },
      { ecu_type: "radio", min_version: "1.0.0" },
    ],
  };
  expect(reasons([release("3.0.0", change)], "fw-3.0.0")?.[1]).toEqual([
    "NO_FIRMWARE_FOR_HARDWARE",
    "CHANNEL_NOT_ALLOWED",
    "CAMPAIGN_ONLY",
    "STEP_MISSING",
    "REQUIREMENT_ABSENT",
    "REQUIREMENT_ABSENT",
  ]);
});

test("a release may have to stand back behind others", () => {
  const catalogue = [release("4.0.0"), release("3.0.0", { availability: "campaign" })];
  expect(verdicts(catalogue, "fw-3.0.0", new Set(["fw-3.0.0", "fw-4.0.0"]))?.[0]).toEqual({
    offer: "none",
    reasons: [{ reason: "NEWER_OFFERED", detail: "4.0.0 is offered instead" }],
  });
  expect(reasons(catalogue, "fw-4.0.0", new Set(["fw-3.0.0"]))?.[0]).toEqual(["NOT_NEEDED"]);
});

test("a release that is not in the catalogue is not explained, and one without an ECU for nobody", () => {
  expect(verdicts([release("2.0.0")], "fw-1.0.0")).toBeUndefined();
  expect(verdicts([release("2.0.0", { ecu_type: "radio" })], "fw-2.0.0")).toEqual([]);
});
