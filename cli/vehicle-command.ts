import { randomUUID } from "node:crypto";
import { Argument, Command } from "commander";
import { CommandState } from "#protocol/api/command.ts";
import { answered, answering, path } from "./answering.ts";
import { given } from "./given.ts";
import { details } from "./details.ts";
import { listCommand } from "./listing.ts";
import { integer, names } from "./option-values.ts";

/** As people say it, and as the vehicle is told. */
const commands = {
  update: "ota_update",
  rollback: "ota_rollback",
  status: "ota_status",
  vci: "REQUEST_VCI",
} as const;

interface Options {
  ecus?: string[];
  ecuType?: string;
  version?: string;
  force?: true;
  wait?: number;
  ttl?: number;
  idempotencyKey?: string;
}

/** `latticeway vehicles command` */
export function vehicleCommandCommand(): Command {
  return new Command("command")
    .description("Tell a vehicle to do something, and see what it was told")
    .addCommand(sendCommand())
    .addCommand(listOfCommands())
    .addCommand(cancelCommand());
}

function sendCommand(): Command {
  const command = new Command("send")
    .description("Send a command; it waits for a vehicle that is offline")
    .argument("<vin>", "VIN or VMG id")
    .addArgument(new Argument("<command>", "what to do").choices(Object.keys(commands)))
    .option("--ecus <ids>", "of an update or rollback: only these ECUs", names)
    .option("--ecu-type <type>", "of an update: only ECUs of this type")
    .option("--version <version>", "of an update: only what comes to this version")
    .option("--force", "of an update: before mode, windows and consent of the policy")
    .option("--wait <seconds>", "wait so long for the vehicle's answer", integer(0, 60))
    .option("--ttl <seconds>", "how long it is worth carrying out", integer(1, 2_592_000))
    .option("--idempotency-key <key>", "the same key again sends no second command");
  return answering<Options>(command, {
    examples: [
      "latticeway vehicles command send VMG-001 status --wait 10",
      "latticeway vehicles command send VMG-001 update --ecu-type brake-controller --version 2.0.0 --force",
    ],
    async run(gateway, options, vin = "", name = "") {
      const { ecus, ecuType, version, force, wait, ttl, idempotencyKey } = options;
      const params = given({ ecu_ids: ecus, ecu_type: ecuType, version, force });
      const body = {
        command: commands[name as keyof typeof commands],
        idempotency_key: idempotencyKey ?? randomUUID(),
        ...given({ wait_ms: wait === undefined ? undefined : wait * 1000, ttl_s: ttl }),
        ...(Object.keys(params).length > 0 && { params }),
      };
      const to = path`/vehicles/${vin}/commands`;
      return answered(await gateway.send("POST", to, body, CommandState), commandText);
    },
  });
}

function commandText(state: CommandState): string {
  const what = `${state.command} for ${state.vin} is ${state.status} (${state.command_id}).`;
  const { result } = state;
  return typeof result === "object" && result !== null ? `${what}\n${details(result)}` : what;
}

function listOfCommands(): Command {
  const command = new Command("list")
    .description("What a vehicle was told, newest first")
    .argument("<vin>", "VIN or VMG id");
  return listCommand(command, {
    path: (_gateway, vin = "") => path`/vehicles/${vin}/commands`,
    item: CommandState,
    columns: {
      COMMAND: (it) => it.command,
      STATUS: (it) => it.status,
      "GIVEN BY": (it) => it.issued_by,
      GIVEN: (it) => it.created_at,
      EXPIRES: (it) => it.expires_at,
      ID: (it) => it.command_id,
    },
    spare: ["EXPIRES"],
    none: "It was told nothing.",
    examples: ["latticeway vehicles command list VMG-001"],
  });
}

function cancelCommand(): Command {
  const command = new Command("cancel")
    .description("Take back a command that has not been sent yet")
    .argument("<command-id>");
  return answering(command, {
    examples: ["latticeway vehicles command cancel 0198c7a0-…"],
    run: async (gateway, _options, id = "") =>
      answered(
        await gateway.send("POST", path`/commands/${id}/cancel`, undefined, CommandState),
        commandText,
      ),
  });
}
