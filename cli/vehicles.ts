import { Command } from "commander";
import { Explanation } from "#protocol/api/explain.ts";
import { Preview, TagAnswer } from "#protocol/api/target.ts";
import { Vehicle, VehicleDetail, type VehiclePatch } from "#protocol/api/vehicle.ts";
import { answered, answering, done, path } from "./answering.ts";
import { demandYes } from "./ask.ts";
import { given } from "./given.ts";
import { details } from "./details.ts";
import { explanationText } from "./explanation-view.ts";
import { listCommand, queryOf } from "./listing.ts";
import { integer, names, oneOf, percentage } from "./option-values.ts";
import { table } from "./table.ts";
import { UsageError } from "./usage-error.ts";
import { vehicleCommandCommand } from "./vehicle-command.ts";
import { vehiclePlanCommand } from "./vehicle-plan.ts";
import { vehiclePolicyCommand } from "./policies.ts";
import { vehicleStatsCommand } from "./vehicle-stats.ts";

/** `latticeway vehicles …` */
export function vehiclesCommand(): Command {
  return new Command("vehicles")
    .description("The fleet")
    .addCommand(vehicleList())
    .addCommand(showCommand())
    .addCommand(updateCommand())
    .addCommand(tagCommand())
    .addCommand(previewCommand())
    .addCommand(vehicleStatsCommand())
    .addCommand(vehiclePlanCommand())
    .addCommand(explainCommand())
    .addCommand(vehiclePolicyCommand())
    .addCommand(vehicleCommandCommand())
    .addCommand(deleteCommand());
}

const statuses = ["registered", "online", "offline", "updating"];

function vehicleList(): Command {
  const command = new Command("list")
    .description("Vehicles by VIN")
    .addOption(oneOf("--status <status>", "of this status", statuses))
    .option("--model <model>", "of this model")
    .option("--region <region>", "of this region")
    .addOption(oneOf("--channel <name>", "on this channel", ["stable", "beta"]))
    .option("--tag <tag>", "with this tag")
    .option("--profile <n>", "last connected by this TLS profile", integer(0, 12))
    .option("--filter <text>", "in the language of docs/filters.md");
  return listCommand(command, {
    path: () => "/vehicles",
    item: Vehicle,
    columns: {
      VIN: (it) => it.vin,
      STATUS: (it) => it.status,
      MODEL: (it) => it.model,
      REGION: (it) => it.region,
      CHANNEL: (it) => it.channel,
      TAGS: (it) => it.tags.join(","),
      TLS: (it) => it.connection && `${it.connection.profile ?? "?"} ${it.connection.group}`,
      "LAST SEEN": (it) => it.last_seen_at,
    },
    none: "No vehicle fits.",
    examples: [
      "latticeway vehicles list --region EU --status online",
      "latticeway vehicles list --filter 'ecu(\"brake-controller\").version < 2.0.0' --limit 1000 --json",
    ],
  });
}

function showCommand(): Command {
  const command = new Command("show")
    .description("All about a vehicle")
    .argument("<vin>", "VIN or VMG id");
  return answering(command, {
    examples: ["latticeway vehicles show VMG-001"],
    run: async (gateway, _options, vin = "") =>
      answered(await gateway.get(path`/vehicles/${vin}`, VehicleDetail), details),
  });
}

interface UpdateOptions {
  channel?: "stable" | "beta";
  model?: string;
  region?: string;
  timeZone?: string;
  minProfile?: string;
}

function updateCommand(): Command {
  const command = new Command("update")
    .description("Change what is known of a vehicle")
    .argument("<vin>", "VIN or VMG id")
    .addOption(oneOf("--channel <name>", "which releases it follows", ["stable", "beta"]))
    .option("--model <model>", "its model")
    .option("--region <region>", "its region")
    .option("--time-zone <zone>", "IANA name, for its maintenance windows; none for unknown")
    .option("--min-profile <n>", "the weakest TLS profile it may use; none for any");
  return answering<UpdateOptions>(command, {
    examples: ["latticeway vehicles update VMG-001 --channel beta --time-zone Europe/Berlin"],
    async run(gateway, { channel, model, region, timeZone, minProfile }, vin = "") {
      const time_zone = timeZone === "none" ? null : timeZone;
      const profile = integer(0, 12);
      const min_profile =
        minProfile === undefined ? undefined : minProfile === "none" ? null : profile(minProfile);
      const patch: VehiclePatch = given({ channel, model, region, time_zone, min_profile });
      if (Object.keys(patch).length === 0) {
        throw new UsageError("Say what is to change: latticeway vehicles update --help");
      }
      return answered(await gateway.send("PATCH", path`/vehicles/${vin}`, patch, Vehicle), details);
    },
  });
}

interface TagOptions {
  filter?: string;
  vehicles?: string[];
  add?: string[];
  remove?: string[];
}

function tagCommand(): Command {
  const command = new Command("tag")
    .description("Give tags to vehicles, or take them away")
    .option("--filter <text>", "which, in the language of docs/filters.md")
    .option("--vehicles <vins>", "these: VMG-001,VMG-002", names)
    .option("--add <tags>", "pilot,fast", names)
    .option("--remove <tags>", "pilot,fast", names);
  return answering<TagOptions>(command, {
    examples: [
      "latticeway vehicles tag --vehicles VMG-001,VMG-002 --add pilot",
      "latticeway vehicles tag --filter 'tag == \"pilot\"' --remove pilot",
    ],
    async run(gateway, { filter, vehicles, add = [], remove = [] }) {
      if (add.length + remove.length === 0) throw new UsageError("Say which tags: --add, --remove");
      const body = { ...given({ filter, vins: vehicles }), add, remove };
      return answered(
        await gateway.send("POST", "/vehicles/tags", body, TagAnswer),
        ({ matched, changed, full }) =>
          `${changed} of ${matched} vehicles changed${full > 0 ? `; ${full} have as many tags as they can` : ""}.`,
      );
    },
  });
}

function previewCommand(): Command {
  const command = new Command("preview")
    .description("How many vehicles a filter means")
    .argument("<filter>", "in the language of docs/filters.md")
    .option("--percentage <n>", "of these vehicles", percentage, 100);
  return answering<{ percentage: number }>(command, {
    examples: [
      'latticeway vehicles preview \'region == "EU" and not tag == "test"\' --percentage 5',
    ],
    async run(gateway, options, filter = "") {
      const body = { filter, percentage: options.percentage };
      return answered(await gateway.send("POST", "/vehicles/preview", body, Preview), previewText);
    },
  });
}

function previewText(preview: Preview): string {
  const counts = (what: string, list: Preview["by_model"]) =>
    list.length === 0
      ? []
      : [
          "",
          table(
            [what, "VEHICLES"],
            list.map(({ value, count }) => [value ?? "unknown", String(count)]),
          ),
        ];
  return [
    `${preview.filter}: ${preview.matched} vehicles, ${preview.selected} of them selected.`,
    ...counts("MODEL", preview.by_model),
    ...counts("REGION", preview.by_region),
    ...counts("CHANNEL", preview.by_channel),
    ...(preview.sample.length > 0
      ? ["", `For instance ${preview.sample.slice(0, 5).join(", ")}`]
      : []),
  ].join("\n");
}

function explainCommand(): Command {
  const command = new Command("explain")
    .description("Why a vehicle gets a firmware, or each reason why it does not")
    .argument("<vin>", "VIN or VMG id")
    .argument("<firmware>", "its id, or brake-controller@2.0.0");
  return answering(command, {
    examples: ["latticeway vehicles explain VMG-001 brake-controller@2.0.0"],
    async run(gateway, _options, vin = "", firmware = "") {
      const [, ecu_type, version] = /^([^@]+)@([^@]+)$/.exec(firmware) ?? [];
      const query = version === undefined ? { firmware_id: firmware } : { ecu_type, version };
      const at = `${path`/vehicles/${vin}/explain`}${queryOf(query)}`;
      return answered(await gateway.get(at, Explanation), explanationText);
    },
  });
}

function deleteCommand(): Command {
  const command = new Command("delete")
    .description("Forget a vehicle; the history of what was done to it stays")
    .argument("<vin>", "VIN or VMG id")
    .option("--yes", "do not ask");
  return answering<{ yes?: true }>(command, {
    examples: ["latticeway vehicles delete VMG-001 --yes"],
    async run(gateway, options, vin = "") {
      await demandYes(
        `${vin} is taken from every campaign, and its own settings are lost.`,
        options,
      );
      await gateway.delete(path`/vehicles/${vin}`);
      return done(`${vin} is deleted.`);
    },
  });
}
