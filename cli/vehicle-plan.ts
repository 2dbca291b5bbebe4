import { Command } from "commander";
import { CheckAnswer } from "#protocol/api/ota.ts";
import { answered, answering, path } from "./answering.ts";
import { shownTime, table } from "./table.ts";

/** `latticeway vehicles plan` */
export function vehiclePlanCommand(): Command {
  const command = new Command("plan")
    .description("What a vehicle would get if it asked now, and what is held back")
    .argument("<vin>", "VIN or VMG id");
  return answering(command, {
    examples: ["latticeway vehicles plan VMG-001"],
    run: async (gateway, _options, vin = "") =>
      answered(await gateway.get(path`/vehicles/${vin}/plan`, CheckAnswer), (plan) =>
        planText(vin, plan),
      ),
  });
}

function planText(vin: string, plan: CheckAnswer): string {
  const { outdated_ecus, later = [], blocked, held = [], policy } = plan;
  const bundles = outdated_ecus.length > 0 ? [outdated_ecus, ...later] : later;
  const gets = bundles.flatMap((bundle, index) =>
    bundle.map((ecu) => [
      ecu.ecu_id,
      ecu.current_version,
      ecu.target_version,
      index === 0 ? "now" : `after ${index} ${index === 1 ? "update" : "updates"}`,
      ecu.firmware_id,
    ]),
  );
  const lacks = [...held, ...blocked].map(({ ecu_id, reason, detail }) => [
    ecu_id,
    `${detail} (${reason})`,
  ]);
  const lines =
    gets.length === 0
      ? [`${vin} has nothing to install.`]
      : [table(["ECU", "RUNS", "GETS", "WHEN", "FIRMWARE"], gets)];
  if (lacks.length > 0) lines.push("", table(["ECU", "WHY NOTHING, OR NOTHING NEWER"], lacks));
  if (policy) lines.push("", `Policy: ${policy.mode}${windowText(policy.window)}.`);
  return lines.join("\n");
}

function windowText(window: NonNullable<CheckAnswer["policy"]>["window"]): string {
  if (window === null) return "";
  const until = window.open ? window.closes_at : window.opens_at;
  return `, window ${window.open ? "open" : "closed"}${until === null ? "" : ` until ${shownTime(until)}`}`;
}
