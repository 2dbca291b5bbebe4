import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import type { Logger } from "pino";
import type { VehicleConfig } from "#config/vehicle.ts";
import type { Negotiated } from "#crypto/negotiated.ts";
import { systemClock } from "#protocol/doip/clock.ts";
import { topicOf, type VehicleTopic } from "#protocol/mqtt/topic.ts";
import { hmacKey } from "#protocol/uds/security-key.ts";
import type { Signer } from "#crypto/signing-keys.ts";
import type { TrustedKeys } from "#protocol/uptane/key.ts";
import { openCommandJournal } from "./command-journal.ts";
import { commandWork } from "./command-work.ts";
import { createCommands } from "./commands.ts";
import type { AgentEvent } from "./event.ts";
import { renewInTime } from "./certificate-renewal.ts";
import { openIdentity, type VehicleIdentity } from "./identity.ts";
import { createGatewayClient } from "./gateway-client.ts";
import { insist } from "./insist.ts";
import { connectMqtt, type MqttLink } from "./mqtt-link.ts";
import { openOutbox, type Outbox } from "./outbox.ts";
import { systemPace, type Pace } from "./pace.ts";
import { freeStorage } from "./readiness.ts";
import { createRemoteDiagnostics, type RemoteDiagnostics } from "./remote-diagnostics.ts";
import { openRemoteConfig } from "./remote-config.ts";
import { startRoutines } from "./routines.ts";
import { createUdsLink } from "./uds-link.ts";
import { createUpdater, type Updater, type UpdaterDeps } from "./updater.ts";
import { vciReporter } from "./vci-reporter.ts";
import type { VehicleConditions } from "./vehicle-conditions.ts";
import { vehicleNetwork, type VehicleNetwork } from "./vehicle-network.ts";
import { vehicleProof } from "./vehicle-proof.ts";
import { vehicleTrust, type TrustRoots } from "./vehicle-trust.ts";

/** Version of this VMG, as registered with the gateway. */
const VMG_VERSION = "0.1.0";

/** The MQTT link is given this long before the start-up goes on without it. */
const MQTT_HEAD_START_MS = 5000;

/** Where a zonal gateway listens, and which ECUs are behind it. */
export interface ZoneEndpoint {
  zone_id: string;
  host: string;
  port: number;
  logical_address: number;
  functional_address: number;
  ecus: readonly { ecu_id: string; logical_address: number }[];
}

export interface AgentOptions {
  /** With `vehicle.id` of this very vehicle. */
  config: VehicleConfig;
  /** Folder of this vehicle alone. */
  folder: string;
  zones: readonly ZoneEndpoint[];
  tls: ConnectionOptions;
  /** The vehicle's own key, that of its certificate. */
  signer: Signer;
  /** Keys that packages must be signed with where there are no roots. */
  trustedKeys: TrustedKeys;
  /** Of the two Uptane repositories. */
  roots?: TrustRoots | undefined;
  log: Logger;
  onEvent?: (event: AgentEvent) => void;
  pace?: Pace;
  /** What the vehicle is doing. */
  conditions: VehicleConditions;
}

/** A running VMG. */
export interface Agent {
  /** Resolves when the start-up is through: registered, VCI sent, updates looked for. */
  readonly started: Promise<void>;
  readonly updater: Updater;
  /** Gives up what is under way; the next start takes it up again. */
  stop(): Promise<void>;
}

/** What every part of the agent is made from. */
interface Base extends Required<AgentOptions> {
  vin: string;
  identity: VehicleIdentity;
  signal: AbortSignal;
  network: VehicleNetwork;
  /** Puts a message into the outbox. */
  send: (topic: VehicleTopic, payload: object) => Promise<void>;
}

/**
 * Starts the VMG on hardware that runs already. It connects, registers, takes up what a restart
 * interrupted, submits its VCI and updates, if it is to; then it goes on until it is stopped.
 * @throws StateFileError when what an earlier run left in the folder can't be used
 */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { folder, config, log } = options;
  await mkdir(downloadsOf(folder), { recursive: true });
  const vin = config.vehicle.id;
  const stopping = new AbortController();
  const outbox = await openOutbox(join(folder, "outbox.jsonl"));
  const identity = await openIdentity(folder, vin, options.tls);
  const base = baseOf(options, { vin, identity, outbox, signal: stopping.signal });
  const linkUp = Promise.withResolvers<void>();
  const versions = await versionParts(base, linkUp.promise, {
    release: (ecuIds) => diagnostics.release(ecuIds),
    scan: (updateId, phase) => diagnostics.scanAround(updateId, phase),
  });
  const commands = await commandsOf(base, versions);
  const diagnostics: RemoteDiagnostics = await diagnosticsOf(base, versions.updater, () => link);
  const remote = await openRemoteConfig(join(folder, "remote-config.json"), log, (change) => {
    routines.rearm();
    base.onEvent({ type: "config_applied", ...change });
  });
  // First in turn, before any command that waits at the gateway can come.
  const resumed = versions.updater
    .resume(base.signal)
    .catch((error: unknown) => logUnlessStopping(base, error, "resuming the update failed"));
  const link: MqttLink = connectMqtt({
    url: config.gateway.mqtt_url,
    backoff: config.gateway,
    ...base,
    outbox,
    onConnected(negotiated) {
      base.onEvent({ type: "connected", via: "mqtt", negotiated });
      routines.beat();
    },
    onDisconnected: () => base.onEvent({ type: "disconnected", via: "mqtt" }),
    handlers: {
      control: (payload) => commands.handle(payload),
      diagnostics: (payload) => diagnostics.handleRequest(payload),
      "diagnostics/control": (payload) => diagnostics.handleControl(payload),
      config: (payload) => remote.handle(payload),
    },
  });
  linkUp.resolve(link.ready);
  await diagnostics.resume();
  const routines = startRoutines({ ...base, ...versions, link, remote });
  const renewal = renewInTime({ ...base, ...versions, settings: config.certificate, link });
  const started = resumed.then(() => {
    commands.resume();
    return insist("the first check", base, base.signal, () => routines.check("power_on"));
  });
  started.catch((error: unknown) => logUnlessStopping(base, error, "the start-up failed"));

  return {
    started,
    updater: versions.updater,
    async stop() {
      stopping.abort(new Error("the VMG is stopping"));
      await Promise.all([renewal.stop(), routines.stop(), diagnostics.stop(), commands.stop()]);
      await started.catch(() => undefined);
      await link.stop();
      await versions.client.close();
      for (const zone of base.network.zones) zone.link.close();
    },
  };
}

interface Opened {
  vin: string;
  identity: VehicleIdentity;
  outbox: Outbox;
  signal: AbortSignal;
}

function baseOf(options: AgentOptions, { vin, identity, outbox, signal }: Opened): Base {
  return {
    onEvent: () => {},
    pace: systemPace,
    roots: undefined,
    ...options,
    tls: identity.tls,
    signer: identity.signer,
    identity,
    vin,
    signal,
    network: connectNetwork(options),
    send: (topic, payload) => outbox.put(topicOf(vin, topic), JSON.stringify(payload)),
  };
}

const downloadsOf = (folder: string) => join(folder, "downloads");

function logUnlessStopping({ signal, log }: Base, error: unknown, what: string): void {
  if (!signal.aborted) log.error({ err: error }, what);
}

function connectNetwork({ zones, config: { doip } }: AgentOptions): VehicleNetwork {
  const timing = { totalMs: doip.timeout_ms };
  return vehicleNetwork(
    zones.map(({ host, port, ...zone }) => ({
      ...zone,
      link: createUdsLink({ host, port, testerAddress: doip.tester_address, timing }),
    })),
  );
}

/** Registration, VCI and updates: what goes over HTTPS. */
async function versionParts(
  base: Base,
  mqttReady: Promise<void>,
  around: Pick<UpdaterDeps, "release" | "scan">,
) {
  const { config, vin, tls, pace, onEvent, signal } = base;
  const onConnected = (connection: Negotiated) =>
    onEvent({ type: "connected", via: "https", negotiated: connection });
  const client = createGatewayClient({ settings: config.gateway, tls, vin, pace, onConnected });
  const { model, region, time_zone } = config.vehicle;
  const request = {
    vin,
    ...(model && { model }),
    ...(region && { region }),
    ...(time_zone && { time_zone }),
    vmg_version: VMG_VERSION,
  };
  const register = async () => {
    const started = pace.now().getTime();
    const vehicle = await client.register(request, signal);
    onEvent({ type: "registered", vehicle, duration_ms: pace.now().getTime() - started });
  };
  const headStart = Promise.race([mqttReady, pace.wait(MQTT_HEAD_START_MS, signal)]);
  const registered = headStart.then(() => insist("registering", base, signal, register));
  // Whoever submits a VCI waits for it, and hears of a stop there.
  registered.catch(() => undefined);
  const proof = vehicleProof(base.folder, vin, base.signer);
  const reporter = vciReporter({ ...base, client, proof, registered });
  const { roots } = base;
  const { gateway } = config;
  const { nonce } = proof;
  const { ecus } = reporter;
  const updater = await createUpdater({
    ...base,
    client,
    reporter,
    trust: roots && vehicleTrust({ ...base, roots, client, gateway, nonce, ecus }),
    downloads: downloadsOf(base.folder),
    download: config.download,
    installationMs: config.installation.timeout_s * 1000,
    healthCheck: config.health_check,
    securityKey: hmacKey(config.uds.security_secrets),
    supply: config.diagnostics.interlocks,
    ...around,
    send: (status) => base.send("ota/status", status),
  });
  return { client, reporter, updater };
}

type VersionParts = Awaited<ReturnType<typeof versionParts>>;

async function commandsOf(base: Base, versions: VersionParts) {
  const freeBytes = () => freeStorage(downloadsOf(base.folder), base.conditions);
  const work = commandWork({ ...base, ...versions, freeBytes });
  return createCommands({
    ...base,
    journal: await openCommandJournal(join(base.folder, "commands.json")),
    execute: work,
    respond: (response) => base.send("control/response", response),
  });
}

async function diagnosticsOf(base: Base, updater: Updater, link: () => MqttLink) {
  const { log, send } = base;
  return createRemoteDiagnostics({
    ...base,
    ...base.config.diagnostics,
    clock: systemClock,
    isBusy: (ecuId) => updater.isBusy(ecuId),
    verifiesUpdates: base.roots !== undefined,
    respond(response, durable) {
      if (!durable) {
        if (!link().publish("diagnostics", response)) log.warn("a diagnostic response was dropped");
        return;
      }
      send("diagnostics", response).catch((error: unknown) =>
        logUnlessStopping(base, error, "a diagnostic response was lost"),
      );
    },
    report: (event) =>
      send("diagnostics/events", event).catch((error: unknown) =>
        logUnlessStopping(base, error, "a diagnostic event was lost"),
      ),
    deliver: (event) => link().deliver("diagnostics/events", event),
  });
}
