import { Command } from "commander";
import { FleetStatistics } from "#protocol/api/fleet.ts";
import { answered, answering } from "./answering.ts";
import { given } from "./given.ts";
import { queryOf } from "./listing.ts";
import { table } from "./table.ts";

/** `latticeway vehicles stats` */
export function vehicleStatsCommand(): Command {
  const command = new Command("stats")
    .description("The fleet in numbers, and which versions its ECUs run")
    .option("--ecu-type <type>", "versions of this type of ECU alone");
  return answering<{ ecuType?: string }>(command, {
    examples: [
      "latticeway vehicles stats",
      "latticeway vehicles stats --ecu-type brake-controller",
    ],
    async run(gateway, { ecuType }) {
      const at = `/stats/vehicles${queryOf(given({ ecu_type: ecuType }))}`;
      return answered(await gateway.get(at, FleetStatistics), statisticsText);
    },
  });
}

function statisticsText({
  vehicles,
  by_status,
  by_channel,
  by_profile,
  versions,
}: FleetStatistics): string {
  const counts = [
    ...by_status.map((each) => ["status", each.status, each.vehicles] as const),
    ...by_channel.map((each) => ["channel", each.channel, each.vehicles] as const),
    ...by_profile.map((each) => ["TLS profile", each.profile ?? "unknown", each.vehicles] as const),
  ];
  const lines = [`${vehicles} ${vehicles === 1 ? "vehicle" : "vehicles"}.`];
  if (counts.length > 0) {
    lines.push(
      "",
      table(
        ["BY", "", "VEHICLES"],
        counts.map((row) => row.map(String)),
      ),
    );
  }
  if (versions.length > 0) {
    const rows = versions.map((each) => [each.ecu_type, each.software_version, String(each.ecus)]);
    lines.push("", table(["ECU TYPE", "RUNS", "ECUS"], rows));
  }
  return lines.join("\n");
}
