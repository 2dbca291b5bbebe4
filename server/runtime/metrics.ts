import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";
import type { ServerState, StateTracker } from "./state.ts";

export type Metrics = ReturnType<typeof createMetrics>;

/** Prometheus metrics of one gateway process, in a registry of its own. */
export function createMetrics(state: StateTracker) {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, prefix: "latticeway_" });
  watchState(state, registers);
  return { registry, ...trafficMetrics(registers), ...workMetrics(registers) };
}

function watchState(state: StateTracker, registers: Registry[]): void {
  new Gauge({
    name: "latticeway_server_state",
    help: "1 for the state the gateway is in",
    labelNames: ["state"],
    registers,
    collect() {
      const states: ServerState[] = ["IDLE", "PROCESSING", "HANDLING", "MAINTENANCE"];
      for (const each of states) this.set({ state: each }, state.state() === each ? 1 : 0);
    },
  });
  new Gauge({
    name: "latticeway_work_in_flight",
    help: "Pieces of work under way, by kind",
    labelNames: ["work"],
    registers,
    collect() {
      for (const [work, count] of Object.entries(state.inFlight())) this.set({ work }, count);
    },
  });
}

function trafficMetrics(registers: Registry[]) {
  return {
    tlsConnections: new Counter({
      name: "latticeway_tls_connections_total",
      help: "TLS handshakes completed, by listener, negotiated group, peer key type and profile",
      labelNames: ["listener", "group", "peer_key_type", "profile"],
      registers,
    }),
    tlsRefused: new Counter({
      name: "latticeway_tls_refused_total",
      help: "Connections refused during or right after the handshake, by listener and reason",
      labelNames: ["listener", "reason"],
      registers,
    }),
    httpRequests: new Histogram({
      name: "latticeway_http_request_seconds",
      help: "HTTP requests, by method, route and status (cut: not answered to the end)",
      labelNames: ["method", "route", "status"],
      buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60],
      registers,
    }),
    httpUnreadable: new Counter({
      name: "latticeway_http_unreadable_total",
      help: "Connections that sent no readable HTTP request, by reason",
      labelNames: ["reason"],
      registers,
    }),
    mqttMessages: new Counter({
      name: "latticeway_mqtt_messages_total",
      help: "MQTT messages handled, by topic name",
      labelNames: ["topic"],
      registers,
    }),
    mqttRefused: new Counter({
      name: "latticeway_mqtt_refused_total",
      help: "MQTT messages and subscriptions refused, by reason",
      labelNames: ["reason"],
      registers,
    }),
    mqttConnected: new Gauge({
      name: "latticeway_mqtt_connected",
      help: "Vehicles connected by MQTT",
      registers,
    }),
  };
}

function workMetrics(registers: Registry[]) {
  return {
    anomalies: new Counter({
      name: "latticeway_telemetry_anomalies_total",
      help: "Anomalies found in telemetry, by rule",
      labelNames: ["rule"],
      registers,
    }),
    updates: new Counter({
      name: "latticeway_update_transitions_total",
      help: "Updates that entered a status",
      labelNames: ["status"],
      registers,
    }),
    diagnostics: new Counter({
      name: "latticeway_diagnostic_requests_total",
      help: "Diagnostic requests that ended, by status",
      labelNames: ["status"],
      registers,
    }),
    diagnosticSessions: new Counter({
      name: "latticeway_diagnostic_sessions_total",
      help: "Diagnostic sessions that ended, by reason",
      labelNames: ["reason"],
      registers,
    }),
    diagnosticScripts: new Counter({
      name: "latticeway_diagnostic_scripts_total",
      help: "Diagnostic scripts that ended, by status",
      labelNames: ["status"],
      registers,
    }),
    diagnosticScans: new Counter({
      name: "latticeway_diagnostic_scans_total",
      help: "Scans of vehicles that ended, by status",
      labelNames: ["status"],
      registers,
    }),
    trustExpires: new Gauge({
      name: "latticeway_trust_expires_seconds",
      help: "Seconds until signed metadata ends, by repository and role",
      labelNames: ["repository", "role"],
      registers,
    }),
    packageBytes: new Counter({
      name: "latticeway_package_bytes_total",
      help: "Bytes of packages sent to vehicles",
      registers,
    }),
  };
}
