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
  profile?: number;
  certs?: string;
  state?: string;
  manual?: boolean;
}

const number = (from: number, to: number) => (text: string) => {
  const value = Number(text);
  if (Number.isInteger(value) && value >= from && value <= to) return value;
  throw new InvalidArgumentError(`It is a whole number from ${from} to ${to}.`);
};

await new Command("sim")
  .description("Simulated vehicles: VMG, zonal gateways and ECUs (config/vehicle.yaml)")
  .option("-n, --count <n>", "how many vehicles", number(1, 9999), 1)
  .option("--vin <id>", "id of the vehicle; with --count the prefix of PREFIX-0001, …")
  .option("--gateway <url>", "the gateway's https://host:port")
  .option("--mqtt <url>", "its mqtts://host:port; by default the same host, port 8883")
  .option("--profile <n>", "TLS profile, 0 to 12", number(0, 12))
  .option("--certs <folder>", "where the certificates are")
  .option("--state <folder>", "where the vehicles keep their state")
  .option("--manual", "install nothing until a command says so")
  .action(run)
  .parseAsync();

async function run(options: Options): Promise<void> {
  try {
    const config = withOptions(loadVehicleConfig(), options);
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

/** The command line goes before the environment and the file. */
function withOptions(config: VehicleConfig, options: Options): VehicleConfig {
  const { gateway, mqtt, profile, certs, state, manual, vin, count } = options;
  const host = gateway === undefined ? undefined : new URL(gateway).hostname;
  const mqttUrl = mqtt ?? (host === undefined ? undefined : `mqtts://${host}:8883`);
  return {
    ...config,
    vehicle: { ...config.vehicle, ...(vin !== undefined && count === 1 && { id: vin }) },
    gateway: {
      ...config.gateway,
      ...(gateway !== undefined && { https_url: gateway }),
      ...(mqttUrl !== undefined && { mqtt_url: mqttUrl }),
    },
    ...(profile !== undefined && { tls: { profile } }),
    ...(certs !== undefined && { certs_dir: certs }),
    ...(state !== undefined && { state_dir: state }),
    ...(manual && { auto_update: false }),
  };
}

function introduce({ vin, hardware, folder }: SimulatedVehicle): void {
  const zones = hardware.zones.map(
    ({ zone_id, host, port, ecus }) =>
      `${zone_id} on ${host}:${port} (${ecus.map(({ ecu_id }) => ecu_id).join(", ")})`,
  );
  console.log(`${vin}: ${zones.join("; ")}; state in ${folder}`);
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
