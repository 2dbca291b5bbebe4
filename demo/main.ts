import "#config/node-version.js";
import { access, mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs, styleText } from "node:util";
import pino, { destination } from "pino";
import { loadVehicleConfig } from "#config/vehicle.ts";
import { authorityFiles } from "#crypto/pki-layout.ts";
import { provisionVehicle } from "#vmg-sim/provision.ts";
import { startVehicle, type SimulatedVehicle } from "#vmg-sim/vehicle.ts";
import { createEventLog } from "./event-log.ts";
import { startGatewayProcess, type GatewayProcess } from "./gateway-process.ts";
import { createNarrator } from "./narrator.ts";
import { connectOperator } from "./operator.ts";
import { runDiagnostics } from "./scenario-diagnostics.ts";
import { runSession } from "./scenario-session.ts";
import { runUpdate } from "./scenario-update.ts";
import { publishFirmware, submitVci, type Scenario } from "./scenario-vci.ts";

const USAGE = `Usage: npm run demo -- [--exit] [--firmware FILE] [--data FOLDER]
  --exit           end after the scenarios; exit code 0 only if every step held
  --firmware FILE  a real image for ECU_001 instead of a made one
  --data FOLDER    where the demo keeps its state, made anew each time (default data/demo)`;

const CERTS_DIR = "certs";

const options = readOptions();
const print = (line: string) => process.stdout.write(`${line}\n`);
const tell = createNarrator(print);
const stops: (() => Promise<void>)[] = [];
try {
  await run();
} catch (error) {
  tell.check((error as Error).message, false);
}
if (options.exit || tell.failures() > 0) {
  await stopAll();
  process.exitCode = tell.failures() === 0 ? 0 : 1;
} else {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void stopAll());
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        exit: { type: "boolean", default: false },
        firmware: { type: "string" },
        data: { type: "string", default: "data/demo" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (!values.help) return values;
    process.stdout.write(`${USAGE}\n`);
    process.exit(0);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}\n`);
    process.exit(2);
  }
}

async function run(): Promise<void> {
  const started = performance.now();
  if (options.firmware !== undefined) await access(options.firmware);
  await rm(options.data, { recursive: true, force: true });
  await mkdir(options.data, { recursive: true, mode: 0o700 });
  print(
    styleText(
      "bold",
      "Latticeway demo: a gateway, a vehicle with two zonal gateways and four ECUs",
    ),
  );
  print("Starting the gateway on its embedded database…");
  const gateway = await startGatewayProcess({
    folder: options.data,
    certsDir: CERTS_DIR,
    ports: { https: 8443, mqtt: 8883 },
  });
  stops.push(gateway.stop);
  print(`Gateway: ${gateway.https_url} and ${gateway.mqtt_url}, log in ${gateway.logFile}`);

  const token = (await readFile(join(options.data, "gateway", "operator.token"), "utf8")).trim();
  const operator = await connectOperator(gateway.https_url, token, CERTS_DIR);
  stops.push(operator.close);
  const events = createEventLog();
  const vin = loadVehicleConfig().vehicle.id;
  const scenario: Scenario = {
    vin,
    tell,
    events,
    operator,
    folder: options.data,
    firmwareFile: options.firmware,
  };
  await publishFirmware(scenario);
  const { hardware, conditions } = await switchOn(scenario, gateway);
  await submitVci(scenario);
  await runUpdate(scenario);
  await runDiagnostics(scenario);
  await runSession(scenario, conditions, {
    LATTICEWAY_URL: gateway.https_url,
    LATTICEWAY_TOKEN: token,
    LATTICEWAY_CA: authorityFiles(CERTS_DIR, "server", "ecdsa-p256", "root").certificate,
  });
  conclude(gateway, hardware.edge, vin, performance.now() - started);
}

async function switchOn({ events }: Scenario, gateway: GatewayProcess): Promise<SimulatedVehicle> {
  const config = loadVehicleConfig();
  const vehicle = await startVehicle({
    config: {
      ...config,
      state_dir: join(options.data, "vehicles"),
      certs_dir: CERTS_DIR,
      gateway: { ...config.gateway, https_url: gateway.https_url, mqtt_url: gateway.mqtt_url },
      // The story starts the update by a command.
      auto_update: false,
    },
    provisioning: await provisionVehicle(CERTS_DIR, config.vehicle.id, config.tls.profile),
    log: pino({ level: "info" }, destination(join(options.data, "vehicle.log"))),
    hasConnector: true,
    onEvent: events.record,
  });
  stops.push(vehicle.stop);
  return vehicle;
}

function conclude(
  gateway: GatewayProcess,
  connector: SimulatedVehicle["hardware"]["edge"],
  vin: string,
  ms: number,
): void {
  tell.chapter("Result");
  const failed = tell.failures();
  tell.note(
    failed === 0
      ? styleText("green", `Everything held, in ${(ms / 1000).toFixed(1)} s.`)
      : styleText("red", `${failed} checks failed; see ${options.data}/*.log.`),
  );
  if (options.exit || failed > 0) return;
  const curl = `curl --cacert ${CERTS_DIR}/server-ca/ecdsa-p256/root.pem -H "authorization: Bearer $(cat ${options.data}/gateway/operator.token)"`;
  tell.note("");
  tell.note("It all keeps running. Try, from another terminal in this folder:");
  tell.note(
    `  npm run sim -- --vin CAR --count 3 --gateway ${gateway.https_url} --mqtt ${gateway.mqtt_url}`,
  );
  tell.note(
    `  ${curl} ${gateway.https_url}/api/v1/vehicles/${vin}/telemetry   (a curl with OpenSSL 3.5)`,
  );
  tell.note(
    `  ${gateway.https_url}/docs in a browser: the API; ${gateway.https_url}/metrics: Prometheus`,
  );
  if (connector) {
    const { port, udpPort } = connector;
    tell.note(
      `  a DoIP tester of yours at 127.0.0.1, TCP ${port} and UDP ${udpPort}: the car itself`,
    );
  }
  tell.note("Ctrl+C ends it.");
}

async function stopAll(): Promise<void> {
  for (const stop of stops.splice(0).reverse()) await stop();
}
