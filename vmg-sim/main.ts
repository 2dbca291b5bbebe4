import "#config/node-version.js";
import { Command, InvalidArgumentError } from "commander";
import { ConfigError } from "#config/load.ts";
import { loadVehicleConfig, type VehicleConfig } from "#config/vehicle.ts";
import { PkiError } from "#crypto/pki-error.ts";
import { fleetIds, startFleet } from "./fleet.ts";
import { describeEvent } from "./event-text.ts";
import { vehicleLog } from "./log.ts";
import { ProvisioningError } from "./provision.ts";
import type { SimulatedVehicle } from "./vehicle.ts";

interface Options {
  count: number;
  vin?: string;
  gateway?: string;
  mqtt?: string;
  profile?: string;
  certs?: string;
  state?: string;
  manual?: boolean;
}

const MOST = 9999;

await new Command("sim")
  .description("Simulated vehicles: VMG, zonal gateways and ECUs (config/vehicle.yaml)")
  .option("-n, --count <n>", "how many vehicles", howMany, 1)
  .option("--vin <id>", "id of the vehicle; with --count the prefix of PREFIX-0001, …")
  .option("--gateway <url>", "the gateway's https://host:port")
  .option("--mqtt <url>", "its mqtts://host:port; by default the same host, port 8883")
  .option("--profile <n>", "TLS profile, 0 to 12")
  .option("--certs <folder>", "where the certificates are")
  .option("--state <folder>", "where the vehicles keep their state")
  .option("--manual", "install nothing until a command says so")
  .action(run)
  .parseAsync();

function howMany(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= MOST) return count;
  throw new InvalidArgumentError(`It is a whole number from 1 to ${MOST}.`);
}

async function run(options: Options): Promise<void> {
  try {
    const config = loadConfig(options);
    const prefix = options.count > 1 ? options.vin : undefined;
    const vins = fleetIds(config.vehicle.id, options.count, prefix);
    const log = vehicleLog(config.log);
    console.log(
      `${vins.length === 1 ? "Vehicle" : `${vins.length} vehicles`} → ${config.gateway.https_url}`,
    );
    const fleet = await startFleet({
      config,
      vins,
      log,
      onStarted: introduce,
      onEvent(vin, event) {
        const text = describeEvent(event);
        if (text) log.info({ vehicle: vin }, text);
      },
    });
    console.log("Press Ctrl+C to stop.");
    stopOnSignal(() => fleet.stop());
  } catch (error) {
    const isKnown =
      error instanceof ConfigError ||
      error instanceof ProvisioningError ||
      error instanceof PkiError;
    console.error(isKnown ? error.message : error);
    process.exitCode = 1;
  }
}

/** The command line goes before the environment, which goes before the file. */
function loadConfig(options: Options): VehicleConfig {
  const { gateway, mqtt, profile, certs, state, manual, vin, count } = options;
  const host = gateway !== undefined && URL.canParse(gateway) && new URL(gateway).hostname;
  const overrides = {
    // The longest id of a fleet stands for all of them.
    VMG_VEHICLE_ID: vin !== undefined && count > 1 ? fleetIds(vin, count, vin).at(-1) : vin,
    VMG_GATEWAY_HTTPS_URL: gateway,
    VMG_GATEWAY_MQTT_URL: mqtt ?? (host ? `mqtts://${host}:8883` : undefined),
    VMG_TLS_PROFILE: profile,
    VMG_CERTS_DIR: certs,
    VMG_STATE_DIR: state,
    VMG_AUTO_UPDATE: manual ? "false" : undefined,
  };
  const given = Object.entries(overrides).filter(([, value]) => value !== undefined);
  return loadVehicleConfig({ ...process.env, ...Object.fromEntries(given) });
}

function introduce({ vin, hardware, folder }: SimulatedVehicle): void {
  const zones = hardware.zones.map(
    ({ zone_id, host, port, ecus }) =>
      `${zone_id} on ${host}:${port} (${ecus.map(({ ecu_id }) => ecu_id).join(", ")})`,
  );
  console.log(`${vin}: ${zones.join("; ")}; state in ${folder}`);
  const { edge } = hardware;
  if (edge) {
    const tls = edge.tlsPort === undefined ? "" : `, TLS ${edge.tlsPort}`;
    console.log(`${vin}: testers may connect by DoIP, TCP ${edge.port}${tls}, UDP ${edge.udpPort}`);
  }
}

function stopOnSignal(stop: () => Promise<void>): void {
  let stopping = false;
  const onSignal = () => {
    if (stopping) process.exit(1);
    stopping = true;
    console.log("Stopping; once more to cut it short.");
    stop().catch((error: unknown) => {
      console.error(error);
      process.exitCode = 1;
    });
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
}
