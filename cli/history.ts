import { Command } from "commander";
import Type from "typebox";
import { CampaignSummary } from "#protocol/api/campaign.ts";
import { Firmware } from "#protocol/api/firmware.ts";
import {
  HistoryItem,
  LogItem,
  Statistic,
  statisticsBy,
  type StatisticsBy,
} from "#protocol/api/history.ts";
import { updateStatuses, Update, UpdateWithEvents } from "#protocol/api/update.ts";
import { answered, answering, path } from "./answering.ts";
import { details } from "./details.ts";
import type { Gateway } from "./gateway.ts";
import { exportCommand } from "./export.ts";
import { listCommand, queryOf, readPages } from "./listing.ts";
import { moment } from "./moment.ts";
import { oneOf } from "./option-values.ts";
import { outOfScope } from "./reference.ts";
import { table } from "./table.ts";

function withPeriod(command: Command): Command {
  return command.option("--from <time>", "since", moment).option("--to <time>", "before", moment);
}

function withHistoryFilter(command: Command): Command {
  return withPeriod(
    command
      .option("--vin <id>", "of this vehicle")
      .option("--ecu-type <type>", "of this type of ECU")
      .option("--firmware-id <id>", "to this firmware")
      .option("--campaign-id <id>", "by this campaign")
      .addOption(oneOf("--status <status>", "that ended so", updateStatuses))
      .option("--reverted", "successes that were taken back later"),
  );
}

/** `latticeway history …` */
export function historyCommand(): Command {
  const list = withHistoryFilter(
    new Command("list").description("ECUs whose updates have ended, the last one first"),
  );
  return new Command("history")
    .description("What was installed where, and how that ended")
    .addCommand(
      listCommand(list, {
        path: () => "/history/updates",
        item: HistoryItem,
        columns: {
          ENDED: (it) => it.completed_at,
          VIN: (it) => it.vin,
          ECU: (it) => it.ecu_id,
          FROM: (it) => it.from_version,
          TO: (it) => it.to_version,
          STATUS: (it) => (it.reverted_at === null ? it.status : "taken back"),
          ERROR: (it) => it.error && `${it.error.message} (${it.error.code})`,
          UPDATE: (it) => it.update_id,
        },
        spare: ["UPDATE"],
        none: "No update has ended.",
        examples: [
          "latticeway history list --vin VMG-001",
          "latticeway history list --status rolled_back --from 7d",
        ],
      }),
      { isDefault: true },
    )
    .addCommand(
      exportCommand(
        withHistoryFilter(new Command("export").description("The same as a file, whole")),
        {
          path: "/history/updates/export",
          examples: ["latticeway history export --format csv --out history.csv"],
        },
      ),
    );
}

/** `latticeway logs` */
export function logsCommand(): Command {
  const command = withPeriod(
    new Command("logs")
      .description("What vehicles have told of their updates, the last first")
      .option("--vin <id>", "of this vehicle")
      .option("--update-id <id>", "of this update")
      .option("--firmware-id <id>", "of updates to this firmware")
      .option("--ecu-id <id>", "of this ECU")
      .option("--status <status>", "downloading, installing, …"),
  );
  return listCommand(command, {
    path: () => "/logs",
    item: LogItem,
    columns: {
      REPORTED: (it) => it.reported_at,
      VIN: (it) => it.vin,
      STATUS: (it) => it.status,
      "%": (it) => it.progress,
      ECU: (it) => it.ecu_id,
      MESSAGE: (it) => (it.error ? `${it.error.message} (${it.error.code})` : it.message),
      UPDATE: (it) => it.update_id,
    },
    spare: ["UPDATE"],
    none: "No vehicle has told anything.",
    examples: ["latticeway logs --vin VMG-001 --from 2h"],
  });
}

const Statistics = Type.Object({
  from: Type.String(),
  to: Type.String(),
  items: Type.Array(Statistic),
});

interface StatisticOptions {
  by: StatisticsBy;
  from?: string;
  to?: string;
  json?: true;
}

/** `latticeway stats` */
export function statsCommand(): Command {
  const command = new Command("stats")
    .description("How updates have ended, in numbers")
    .addOption(oneOf("--by <what>", "counted by", statisticsBy).default("day"))
    .option("--from <day>", "first day, UTC: 2026-01-19 (default: 30 days)")
    .option("--to <day>", "last day, UTC")
    .option("--ecu-type <type>", "of this type of ECU")
    .option("--firmware-id <id>", "to this firmware")
    .option("--campaign-id <id>", "by this campaign");
  return answering<StatisticOptions>(command, {
    examples: [
      "latticeway stats --by firmware",
      "latticeway stats --by day --from 2026-01-01 --to 2026-01-31",
    ],
    async run(gateway, { json, ...query }) {
      const numbers = await gateway.get(`/stats/updates${queryOf(query)}`, Statistics);
      const none = new Map<string, string>();
      const names = json ? none : await namesFor(gateway, query.by).catch(outOfScope(none));
      return answered(numbers, ({ items }) =>
        items.length === 0
          ? "No update has ended in this time."
          : table(
              [
                query.by.toUpperCase().replaceAll("_", " "),
                "TOTAL",
                "SUCCESS",
                "FAILED",
                "ROLLED BACK",
                "CANCELLED",
                "EXPIRED",
                "SUCCESS RATE",
                "P50",
                "P95",
              ],
              items.map((it) => [
                it.key === null ? "none" : (names.get(it.key) ?? it.key),
                ...[it.total, it.success, it.failed, it.rolled_back, it.cancelled, it.expired].map(
                  String,
                ),
                it.success_rate === null ? "" : `${(it.success_rate * 100).toFixed(1)} %`,
                it.duration_s === null ? "" : `${it.duration_s.p50} s`,
                it.duration_s === null ? "" : `${it.duration_s.p95} s`,
              ]),
              { spare: ["EXPIRED", "CANCELLED", "P95", "P50"] },
            ),
      );
    },
  });
}

/** More than anybody looks at. */
const NAMED = 10_000;

/** What people call that which the gateway counts by its id. */
async function namesFor(gateway: Gateway, by: StatisticsBy): Promise<Map<string, string>> {
  if (by === "firmware") {
    const all = await readPages(gateway, Firmware, { path: "/firmware", most: NAMED });
    return new Map(all.items.map((it) => [it.firmware_id, `${it.ecu_type} ${it.version}`]));
  }
  if (by === "campaign") {
    const all = await readPages(gateway, CampaignSummary, { path: "/campaigns", most: NAMED });
    return new Map(all.items.map((it) => [it.campaign_id, it.name]));
  }
  return new Map();
}

/** `latticeway updates …` */
export function updatesCommand(): Command {
  const list = new Command("list")
    .description("Updates, newest first")
    .option("--vin <id>", "of this vehicle")
    .addOption(oneOf("--status <status>", "of this status", updateStatuses));
  const show = new Command("show").description("An update with its course").argument("<update-id>");
  const cancel = new Command("cancel")
    .description("End an update before the vehicle writes")
    .argument("<update-id>");
  return new Command("updates")
    .description("Updates that vehicles have been given")
    .addCommand(
      listCommand(list, {
        path: () => "/updates",
        item: Update,
        columns: {
          VIN: (it) => it.vin,
          STATUS: (it) => it.status,
          "%": (it) => it.progress,
          BRINGS: (it) => it.targets.map((each) => `${each.ecu_id} ${each.to_version}`).join(", "),
          WAITS: (it) => it.deferral?.map(({ code }) => code).join(",") ?? "",
          GIVEN: (it) => it.created_at,
          ID: (it) => it.update_id,
        },
        spare: ["GIVEN", "%"],
        none: "There is no such update.",
        examples: ["latticeway updates list --status deferred"],
      }),
    )
    .addCommand(
      answering(show, {
        examples: ["latticeway updates show 0198c7a0-…"],
        run: async (gateway, _options, id = "") =>
          answered(await gateway.get(path`/updates/${id}`, UpdateWithEvents), details),
      }),
    )
    .addCommand(
      answering(cancel, {
        examples: ["latticeway updates cancel 0198c7a0-…"],
        run: async (gateway, _options, id = "") =>
          answered(
            await gateway.send("POST", path`/updates/${id}/cancel`, undefined, Update),
            ({ vin, status }) => `The update of ${vin} is ${status}.`,
          ),
      }),
    );
}
