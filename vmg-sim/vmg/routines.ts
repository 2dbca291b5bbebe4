import type { Logger } from "pino";
import type { VehicleConfig } from "#config/vehicle.ts";
import type { AgentEvent } from "./event.ts";
import type { MqttLink } from "./mqtt-link.ts";
import type { Pace } from "./pace.ts";
import { periodically } from "./periodic.ts";
import type { RemoteConfiguration } from "./remote-config.ts";
import { freeStorage } from "./readiness.ts";
import { heartbeat, telemetrySampler } from "./telemetry.ts";
import type { Updater } from "./updater.ts";
import type { VciReporter } from "./vci-reporter.ts";
import type { VehicleConditions } from "./vehicle-conditions.ts";
import type { VehicleNetwork } from "./vehicle-network.ts";

export interface RoutinesDeps {
  config: VehicleConfig;
  remote: RemoteConfiguration;
  folder: string;
  network: VehicleNetwork;
  conditions: VehicleConditions;
  link: MqttLink;
  updater: Updater;
  reporter: VciReporter;
  pace: Pace;
  log: Logger;
  signal: AbortSignal;
  onEvent: (event: AgentEvent) => void;
}

/** What the VMG does without being asked: heartbeats, telemetry, checks for updates. */
export interface Routines {
  /** Sends a heartbeat out of turn. */
  beat(): void;
  /** Submits a VCI and, unless updates wait for a command, installs what the gateway offers. */
  check(reason: string): Promise<void>;
  /** Takes up changed intervals. */
  rearm(): void;
  stop(): Promise<void>;
}

/** Starts the timers. The remote configuration goes before the vehicle's own. */
export function startRoutines(deps: RoutinesDeps): Routines {
  const { config, remote, link, updater, reporter, pace, log, signal, onEvent } = deps;
  const { intervals } = config;
  const sample = telemetrySampler(deps, (ecuId) => updater.isBusy(ecuId));
  const seconds = {
    heartbeat: () => remote.current.heartbeat_interval_s ?? intervals.heartbeat_s,
    telemetry: () => remote.current.telemetry_interval_s ?? intervals.telemetry_s,
    check: () =>
      remote.current.check_interval_s ?? reporter.policy?.check_interval_s ?? intervals.check_s,
  };

  async function beat(): Promise<void> {
    const free = await freeStorage(deps.folder, deps.conditions);
    const { state, last } = updater;
    const { versions } = reporter;
    const sign = heartbeat(pace, free, { state, versions, lastUpdateAt: last?.finished_at });
    if (link.publish("heartbeat", sign)) onEvent({ type: "heartbeat_sent", heartbeat: sign });
  }
  async function measure(): Promise<void> {
    const measured = await sample(seconds.telemetry(), signal);
    if (link.publish("telemetry", measured)) onEvent({ type: "telemetry_sent", sample: measured });
    else log.debug("telemetry was dropped: too much waits for the gateway");
  }
  async function check(reason: string): Promise<void> {
    const before = seconds.check();
    if (remote.current.auto_update ?? config.auto_update) await updater.update({ reason }, signal);
    else await updater.inTurn(() => reporter.submit(reason, signal));
    if (seconds.check() !== before) checks.rearm();
  }

  const checks = periodically(
    "a check",
    () => seconds.check() * 1000,
    () => check("periodic"),
    log,
  );
  const timers = [
    checks,
    periodically("a heartbeat", () => seconds.heartbeat() * 1000, beat, log),
    periodically("telemetry", () => seconds.telemetry() * 1000, measure, log),
  ];
  return {
    beat() {
      beat().catch((error: unknown) => log.warn({ err: error }, "a heartbeat failed"));
    },
    check,
    rearm() {
      for (const timer of timers) timer.rearm();
    },
    async stop() {
      await Promise.all(timers.map((timer) => timer.stop()));
    },
  };
}
