import { randomUUID } from "node:crypto";
import { Command } from "commander";
import Type from "typebox";
import { DiagnosticResult, DiagnosticStatus } from "#protocol/api/diagnostics.ts";
import { Uuid } from "#protocol/api/identifier.ts";
import { answered, answering, path, type Answered } from "./answering.ts";
import { given } from "./given.ts";
import { details } from "./details.ts";
import { listCommand } from "./listing.ts";
import { moment } from "./moment.ts";
import { integer } from "./option-values.ts";
import { UsageError } from "./usage-error.ts";

/** `latticeway diagnostics …` */
export function diagnosticsCommand(): Command {
  return new Command("diagnostics")
    .description("UDS requests to the ECUs of vehicles")
    .addCommand(sendCommand())
    .addCommand(resultsCommand())
    .addCommand(showCommand())
    .addCommand(cancelCommand());
}

const Sent = Type.Union([
  DiagnosticResult,
  Type.Object({ request_id: Uuid, status: DiagnosticStatus }),
]);

interface Options {
  ecu?: string;
  zone?: string;
  wait: number;
  ttl?: number;
  session?: string;
  idempotencyKey?: string;
}

function sendCommand(): Command {
  const command = new Command("send")
    .description("Send a request and wait for the answer")
    .argument("<vin>", "VIN or VMG id")
    .argument("<request>", "in hex, with its service: 22F190")
    .option("--ecu <id>", "to this ECU")
    .option("--zone <id>", "to every ECU of this zone")
    .option("--wait <seconds>", "for the answer", integer(0, 60), 10)
    .option(
      "--ttl <seconds>",
      "how long it waits for a vehicle that is offline",
      integer(0, 604_800),
    )
    .option("--session <id>", "in this diagnostic session")
    .option("--idempotency-key <key>", "the same key again sends no second request");
  return answering<Options>(command, {
    examples: ["latticeway diagnostics send VMG-001 22F190 --ecu ECU_001"],
    async run(gateway, { ecu, zone, ...options }, vin = "", request = ""): Promise<Answered> {
      if ((ecu === undefined) === (zone === undefined)) {
        throw new UsageError("Say to whom: --ecu or --zone");
      }
      const bytes = request.replaceAll(/\s/g, "");
      if (!/^([0-9a-f]{2})+$/i.test(bytes)) throw new UsageError(`${request} is no hex: 22F190`);
      const body = {
        ...{
          vin,
          service_id: bytes.slice(0, 2),
          data: bytes.slice(2),
          wait_ms: options.wait * 1000,
        },
        idempotency_key: options.idempotencyKey ?? randomUUID(),
        ...given({ ecu_id: ecu, zone_id: zone, ttl_s: options.ttl, session_id: options.session }),
      };
      const to = ecu === undefined ? "/diagnostics/broadcast" : "/diagnostics/send";
      return answered(await gateway.send("POST", to, body, Sent), details);
    },
  });
}

function resultsCommand(): Command {
  const command = new Command("results")
    .description("Requests and what came of them, newest first")
    .option("--vin <id>", "to this vehicle")
    .option("--ecu-id <id>", "to this ECU")
    .option("--status <status>", "of this status")
    .option("--from <time>", "since", moment)
    .option("--to <time>", "before", moment);
  return listCommand(command, {
    path: () => "/diagnostics/results",
    item: DiagnosticResult,
    columns: {
      ASKED: (it) => it.created_at,
      VIN: (it) => it.vin,
      TO: (it) => it.ecu_id ?? it.zone_id,
      REQUEST: (it) => it.request_data,
      STATUS: (it) => it.status,
      ANSWER: (it) => it.error?.message ?? it.responses.map((each) => each.response_data).join(","),
      BY: (it) => it.requested_by,
      ID: (it) => it.request_id,
    },
    spare: ["BY", "ID"],
    none: "Nothing was asked.",
    examples: ["latticeway diagnostics results --vin VMG-001"],
  });
}

function showCommand(): Command {
  const command = new Command("show")
    .description("A request with its decoded answer")
    .argument("<request-id>");
  return answering(command, {
    examples: ["latticeway diagnostics show 0198c7a0-…"],
    run: async (gateway, _options, id = "") =>
      answered(await gateway.get(path`/diagnostics/results/${id}`, DiagnosticResult), details),
  });
}

function cancelCommand(): Command {
  const command = new Command("cancel")
    .description("Take back a request that waits")
    .argument("<request-id>");
  return answering(command, {
    examples: ["latticeway diagnostics cancel 0198c7a0-…"],
    async run(gateway, _options, id = "") {
      const to = path`/diagnostics/results/${id}/cancel`;
      return answered(await gateway.send("POST", to, undefined, Sent), details);
    },
  });
}
