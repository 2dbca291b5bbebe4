import type { Explanation } from "#protocol/api/explain.ts";
import { shownTime, table } from "./table.ts";

const verdicts: Record<Explanation["verdict"], string> = {
  offered: "gets it when it asks next.",
  waits: "would get it, but waits:",
  later: "gets it after other updates.",
  under_way: "is being updated to it.",
  installed: "runs it already, or something newer.",
  not_offered: "does not get it.",
};

/** Why a vehicle gets a firmware, or does not. */
export function explanationText(explanation: Explanation): string {
  const { vin, firmware, reasons, ecus, campaigns, policy, update } = explanation;
  const lines = [
    `${firmware.ecu_type} ${firmware.version} (${firmware.channel}, by ${firmware.availability}): ${vin} ${verdicts[explanation.verdict]}`,
    ...reasons.map(reasonText),
  ];
  if (update) lines.push(`Update ${update.update_id} is ${update.status}.`);
  if (ecus.length > 0) {
    const rows = ecus.map((ecu) => [
      ecu.ecu_id,
      ecu.hardware_version,
      ecu.software_version,
      offerText(ecu),
    ]);
    lines.push("", table(["ECU", "HARDWARE", "RUNS", "GETS IT"], rows));
    // In a column they would be cut where their codes are.
    for (const { ecu_id, reasons: why } of ecus) {
      lines.push(...why.map((reason) => `  ${ecu_id}: ${reasonText(reason).trimStart()}`));
    }
  }
  for (const campaign of campaigns) {
    const part = campaign.part === null ? "" : `, the vehicle: ${campaign.part.status}`;
    const opens = campaign.wave_opens_at;
    lines.push(
      "",
      `Campaign ${campaign.name} (${campaign.campaign_id}) is ${campaign.state}${part}.`,
      ...(campaign.wave === null
        ? []
        : [`  in wave ${campaign.wave + 1}${opens === null ? "" : `, from ${shownTime(opens)}`}`]),
      ...campaign.reasons.map(reasonText),
      ...campaign.unmatched.map((each) => `  does not match: ${each}`),
    );
  }
  const by = policy.name ?? policy.source;
  return [...lines, "", `Policy: ${policy.settings.mode}, from ${by}`].join("\n");
}

function offerText({ offer, after_bundles }: Explanation["ecus"][number]): string {
  if (offer === "later") return `after ${after_bundles} updates`;
  return offer === "none" ? "no" : offer.replaceAll("_", " ");
}

function reasonText({ code, detail }: { code: string; detail: string }): string {
  return `  ${detail} (${code})`;
}
