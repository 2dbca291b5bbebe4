import type { IClientOptions, MqttClient } from "mqtt";
import { vi } from "vitest";
import type { DiagnosticControl } from "#protocol/mqtt/diagnostic-control.ts";
import type { DiagnosticEvent } from "#protocol/mqtt/diagnostic-event.ts";
import { sampleVci } from "#test/helpers/fleet-data.ts";
import type { Caller, TestGateway } from "#test/helpers/gateway.ts";

type Kind = DiagnosticControl["kind"];
type OfKind<Name extends Kind> = Extract<DiagnosticControl, { kind: Name }>;
/** Without the time, which is always the same. */
export type Told = DiagnosticEvent extends infer Event
  ? Event extends { ts: string }
    ? Omit<Event, "ts">
    : never
  : never;

/** A vehicle that does what a test says, on the topics of sessions, scripts and scans. */
export interface RemoteVehicle {
  client: MqttClient;
  /** What it was told, in order. */
  told: DiagnosticControl[];
  /** Waits until it has been told so many of a kind. @returns the last of them */
  was<Name extends Kind>(kind: Name, count?: number): Promise<OfKind<Name>>;
  /** Says something, and waits until the gateway has stored it. */
  say(event: Told): Promise<void>;
  /** Does this whenever it is told something. */
  on(react: (message: DiagnosticControl) => void): void;
}

export async function register(gateway: TestGateway, vin: string): Promise<void> {
  const vehicle = await gateway.vehicle(vin);
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
  await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
}

export async function connect(
  gateway: TestGateway,
  vin: string,
  options?: IClientOptions,
): Promise<RemoteVehicle> {
  const client = await gateway.mqtt(vin, options);
  const told: DiagnosticControl[] = [];
  const reactions: ((message: DiagnosticControl) => void)[] = [];
  client.on("message", (_, payload) => {
    const message = JSON.parse(payload.toString()) as DiagnosticControl;
    told.push(message);
    for (const react of reactions) react(message);
  });
  await client.subscribeAsync(`vehicle/${vin}/diagnostics/control`, { qos: 1 });
  return {
    client,
    told,
    was: <Name extends Kind>(kind: Name, count = 1) =>
      vi.waitFor(
        () => {
          const those = told.filter((each): each is OfKind<Name> => each.kind === kind);
          const last = those.at(-1);
          if (last === undefined || those.length < count) throw new Error(`no ${kind} yet`);
          return last;
        },
        { timeout: 10_000 },
      ),
    async say(event) {
      const message = JSON.stringify({ ts: "2026-01-19T10:07:00Z", ...event });
      await client.publishAsync(`vehicle/${vin}/diagnostics/events`, message, { qos: 1 });
    },
    on: (react) => void reactions.push(react),
  };
}

/** Opens every session that it is asked for, with a positive answer. */
export function opening(vehicle: RemoteVehicle): RemoteVehicle {
  vehicle.on((message) => {
    if (message.kind !== "open_session") return;
    const { session_id } = message;
    void vehicle.say({ kind: "session_opened", session_id, response: "5003003201F4" });
  });
  return vehicle;
}

/** An operator of this name and role. */
export async function operator(
  gateway: TestGateway,
  name: string,
  role: string,
  more: object = {},
): Promise<Caller & { token_id: string }> {
  const body = { name, role, ...more };
  const { json } = await gateway.admin.send("POST", "/api/v1/operators/tokens", { body });
  const { token, token_id } = json as { token: string; token_id: string };
  return { ...gateway.operator(token), token_id };
}
