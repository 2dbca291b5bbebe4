import { createWriteStream, type WriteStream } from "node:fs";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { Command, InvalidArgumentError } from "commander";
import { isVehicleId } from "#crypto/identity.ts";
import { toHex } from "#protocol/bytes/hex.ts";
import { doipCapture } from "#protocol/capture/doip-capture.ts";
import { systemClock } from "#protocol/doip/clock.ts";
import { withExamples } from "./answering.ts";
import { openGateway } from "./gateway.ts";
import { GatewayError } from "./gateway-error.ts";
import { printable } from "./printable.ts";
import { remoteCar, type RemoteCar } from "./remote-car.ts";
import { reporting } from "./reporting.ts";
import { startTunnel, type TunnelledExchange, type TunnelOptions } from "./tunnel-entity.ts";

interface Options {
  vin: string;
  listen: { host: string; port: number };
  record?: string;
  quiet?: true;
}

const DEFAULT_LISTEN = "127.0.0.1:13400";
/** More of a message is of no use on a terminal. */
const SHOWN_BYTES = 24;

/** `latticeway tunnel`: a car far away as a DoIP entity on this machine. */
export function tunnelCommand(): Command {
  const command = new Command("tunnel")
    .description("Reach the ECUs of a car with a DoIP tester of your own, through the gateway")
    .requiredOption("--vin <id>", "VIN or VMG id", vehicleId)
    .option(
      "--listen <host:port>",
      "where the tester connects to",
      address,
      address(DEFAULT_LISTEN),
    )
    .option("--record <file>", "write the session as pcapng, for Wireshark")
    .option("--quiet", "do not show each request")
    .addHelpText(
      "after",
      "\nEvery request is checked and recorded by the gateway like any other. Ctrl+C ends it.",
    );
  return withExamples(command, [
    "latticeway tunnel --vin VMG-001",
    "latticeway tunnel --vin VMG-001 --listen 127.0.0.1:13401 --record session.pcapng",
  ]).action((options: Options, command: Command) => reporting(command, () => run(options)));
}

async function run({ vin, listen, record, quiet }: Options): Promise<string> {
  const gateway = await openGateway(process.env);
  try {
    const car = await remoteCar(gateway, vin);
    const recording = record === undefined ? undefined : await startRecording(record);
    const tunnel = await startTunnel({
      car,
      ...listen,
      clock: systemClock,
      ...(recording && { onMessage: recording.message }),
      ...(quiet !== true && { onExchange: (exchange) => show(car, exchange) }),
    }).catch(async (error: unknown) => {
      await recording?.discard();
      throw isTaken(error) ? portTaken(listen) : error;
    });
    console.log(
      `${printable(vin)} on ${listen.host}, DoIP, TCP ${tunnel.port}, UDP ${tunnel.udpPort}`,
    );
    for (const { ecu_id, zone_id, logical_address } of car.ecus) {
      console.log(`  ${hex(logical_address)} ${printable(ecu_id)} (${printable(zone_id)})`);
    }
    await interrupted();
    await tunnel.close();
    await recording?.end();
    return "The tunnel is closed.";
  } finally {
    await gateway.close();
  }
}

interface Recording {
  message: NonNullable<TunnelOptions["onMessage"]>;
  end(): Promise<void>;
  /** Leaves no file: another start would find it in its way. */
  discard(): Promise<void>;
}

/** Writes messages into a new file as they come. @throws the system's error, EEXIST for one */
async function startRecording(file: string): Promise<Recording> {
  const out: WriteStream = createWriteStream(file, { flags: "wx", mode: 0o600 });
  await once(out, "open");
  const capture = doipCapture();
  out.write(capture.begin(new Date()));
  return {
    message: (from, message) => out.write(capture.message(from, message, new Date())),
    async end() {
      out.end(capture.end(new Date()));
      await once(out, "close");
    },
    async discard() {
      out.end();
      await once(out, "close");
      await rm(file);
    },
  };
}

function isTaken(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EADDRINUSE";
}

function portTaken({ host, port }: Options["listen"]): GatewayError {
  const what = `${host}:${port} is taken, by a car or a tunnel on this machine; --listen takes another`;
  return new GatewayError("TUNNEL_PORT_TAKEN", what);
}

function show(car: RemoteCar, exchange: TunnelledExchange): void {
  const { tester, target, request, outcome, duration_ms } = exchange;
  const name = car.ecus.find((ecu) => ecu.logical_address === target)?.ecu_id ?? "all ECUs";
  const answer =
    outcome.kind === "failed"
      ? `${outcome.code}: ${outcome.message}`
      : outcome.answers.map(({ response }) => bytes(response)).join(", ") || "no answer";
  const line = `${hex(tester)} → ${name}: ${bytes(request)} → ${answer} (${duration_ms.toFixed(0)} ms)`;
  console.log(printable(line));
}

function bytes(message: Uint8Array): string {
  const rest = message.length - SHOWN_BYTES;
  return toHex(message.subarray(0, SHOWN_BYTES)) + (rest > 0 ? `… (${rest} more bytes)` : "");
}

function hex(logicalAddress: number): string {
  return `0x${logicalAddress.toString(16).toUpperCase().padStart(4, "0")}`;
}

function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGINT", resolve);
    process.once("SIGTERM", resolve);
  });
}

function vehicleId(text: string): string {
  if (isVehicleId(text)) return text;
  throw new InvalidArgumentError("It is a VIN or VMG id, 3 to 17 of A-Z a-z 0-9 . _ -");
}

function address(text: string): Options["listen"] {
  const [, host, port] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  if (host !== undefined && Number(port) <= 65_535) return { host, port: Number(port) };
  throw new InvalidArgumentError(`It is host:port, ${DEFAULT_LISTEN} for one.`);
}
