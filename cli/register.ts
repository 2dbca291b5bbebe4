import { Command } from "commander";
import { RegisterEntry } from "#protocol/api/register.ts";
import { answered, answering, path } from "./answering.ts";
import { details } from "./details.ts";
import { exportCommand } from "./export.ts";
import { listCommand } from "./listing.ts";
import { moment } from "./moment.ts";
import { verifyCommand } from "./register-verify.ts";

function withFilter(command: Command): Command {
  return command
    .option("--vin <id>", "of this vehicle")
    .option("--update-id <id>", "of this update")
    .option("--rxswin <id>", "that touch this RxSWIN")
    .option("--from <time>", "since", moment)
    .option("--to <time>", "before", moment);
}

/** `latticeway register …` */
export function registerCommand(): Command {
  const show = new Command("show").description("A record, with its proof").argument("<record-id>");
  return new Command("register")
    .description("The register of updates of regulated software (UN R156)")
    .addCommand(
      listCommand(withFilter(new Command("list").description("Records, newest first")), {
        path: () => "/register",
        item: RegisterEntry,
        columns: {
          AT: ({ record }) => record.at,
          VIN: ({ record }) => record.vin,
          RXSWIN: ({ record }) => record.rxswins.join(","),
          WHAT: ({ record }) => (record.kind === "result" ? record.status : record.kind),
          RECORD: ({ record }) => record.record_id,
        },
        none: "There is no such record.",
        examples: ["latticeway register list --rxswin 'R79 4711-02'"],
      }),
    )
    .addCommand(
      answering(show, {
        examples: ["latticeway register show 0198c7a0-…"],
        run: async (gateway, _options, id = "") =>
          answered(await gateway.get(path`/register/${id}`, RegisterEntry), details),
      }),
    )
    .addCommand(
      exportCommand(withFilter(new Command("export").description("Records as a file")), {
        path: "/register/export",
        examples: ["latticeway register export --from 2026-01-01 --format csv --out register.csv"],
      }),
    )
    .addCommand(verifyCommand());
}
