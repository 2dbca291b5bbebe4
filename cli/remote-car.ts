import Type from "typebox";
import { DiagnosticSession } from "#protocol/api/diagnostic-session.ts";
import {
  DiagnosticResult,
  DiagnosticStatus,
  type DiagnosticBroadcast,
  type DiagnosticSend,
} from "#protocol/api/diagnostics.ts";
import { Uuid } from "#protocol/api/identifier.ts";
import { Page } from "#protocol/api/page.ts";
import { Vci } from "#protocol/api/vci.ts";
import { fromHex, toHex } from "#protocol/bytes/hex.ts";
import type { Gateway } from "./gateway.ts";
import { GatewayError } from "./gateway-error.ts";

/** An ECU of the car, by its DoIP logical address. */
export interface RemoteEcu {
  ecu_id: string;
  zone_id: string;
  logical_address: number;
}

export interface RemoteAnswer {
  logical_address: number;
  response: Uint8Array;
}

/** What came back for a request: answers, each from its ECU, or why there is none. */
export type RemoteOutcome =
  | { kind: "answered"; answers: RemoteAnswer[] }
  | { kind: "failed"; code: string; message: string };

/** A session that keeps an ECU for this operator. */
export interface RemoteSession {
  readonly session_id: string;
  /** The ECU's answer to 10. */
  readonly response: Uint8Array;
}

/** A car that is reached through the gateway. What goes wrong is an outcome, nothing throws. */
export interface RemoteCar {
  readonly vin: string;
  readonly ecus: readonly RemoteEcu[];
  /** Asks one ECU, in a session where it is in one. */
  ask(ecu: RemoteEcu, request: Uint8Array, session?: RemoteSession): Promise<RemoteOutcome>;
  /** Asks every ECU of every zone. */
  askAll(request: Uint8Array): Promise<RemoteOutcome>;
  /**
   * Has the car enter a UDS session and keep it up by itself, so that the way there can't break it.
   * Without a session the outcome is the ECU's negative response, or why there was none.
   */
  openSession(ecu: RemoteEcu, udsSession: number): Promise<RemoteSession | RemoteOutcome>;
  closeSession(session: RemoteSession): Promise<void>;
}

const Accepted = Type.Union([
  DiagnosticResult,
  Type.Object({ request_id: Uuid, status: DiagnosticStatus }),
]);
const CurrentVci = Page(Type.Object({ zones: Vci.properties.zones, ecus: Vci.properties.ecus }));

/** One wait at the gateway; a request that takes longer is waited for once more. */
const WAIT_MS = 30_000;

/** A tester at its desk waits for the answer now: what can't be sent at once must not come later. */
const NOW_OR_NEVER = { ttl_s: 0, wait_ms: WAIT_MS };

/**
 * The car as its last VCI describes it.
 * @throws GatewayError, VEHICLE_UNKNOWN for one; TUNNEL_NO_ADDRESSES for a VCI without addresses
 */
export async function remoteCar(gateway: Gateway, vin: string): Promise<RemoteCar> {
  const { items } = await gateway.get(
    `/vehicles/${encodeURIComponent(vin)}/vci?limit=1`,
    CurrentVci,
  );
  const ecus = (items[0]?.ecus ?? []).flatMap(({ ecu_id, zone_id, logical_address }) =>
    logical_address === undefined ? [] : [{ ecu_id, zone_id, logical_address }],
  );
  if (ecus.length === 0) {
    const what = `${vin} has not reported the DoIP addresses of its ECUs`;
    throw new GatewayError("TUNNEL_NO_ADDRESSES", what);
  }
  const zones = [...new Set(ecus.map(({ zone_id }) => zone_id))];
  const addressOf = new Map(ecus.map((ecu) => [ecu.ecu_id, ecu.logical_address]));
  const exchange = (path: string, body: DiagnosticSend | DiagnosticBroadcast) =>
    attempt(async () => {
      const made = await gateway.post(path, json(body), Accepted);
      const result = "responses" in made ? made : await ended(gateway, made.request_id);
      return outcomeOf(result, addressOf);
    });

  return {
    vin,
    ecus,
    ask: ({ ecu_id }, request, session) =>
      exchange("/diagnostics/send", {
        vin,
        ecu_id,
        ...service(request),
        ...NOW_OR_NEVER,
        ...(session && { session_id: session.session_id }),
      }),
    async askAll(request) {
      const outcomes = await Promise.all(
        zones.map((zone_id) =>
          exchange("/diagnostics/broadcast", {
            vin,
            zone_id,
            ...service(request),
            ...NOW_OR_NEVER,
          }),
        ),
      );
      const answers = outcomes.flatMap((each) => (each.kind === "answered" ? each.answers : []));
      const failed = outcomes.find((each) => each.kind === "failed");
      return answers.length === 0 && failed ? failed : { kind: "answered", answers };
    },
    openSession: ({ ecu_id, logical_address }, udsSession) =>
      attempt(async () => {
        const uds_session = toHex(Uint8Array.of(udsSession));
        const body = { vin, ecu_id, uds_session, reason: "tunnel", wait_ms: WAIT_MS };
        const session = await gateway.post("/diagnostics/sessions", json(body), DiagnosticSession);
        return sessionOutcome(session, logical_address);
      }),
    async closeSession({ session_id }) {
      await attempt(async () => {
        await gateway.delete(`/diagnostics/sessions/${session_id}`);
        return { kind: "answered", answers: [] };
      });
    },
  };
}

function json(body: object): Uint8Array {
  return Buffer.from(JSON.stringify(body));
}

async function attempt<T>(work: () => Promise<T>): Promise<T | RemoteOutcome> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return { kind: "failed", code: error.code, message: error.message };
  }
}

function service(request: Uint8Array): { service_id: string; data: string } {
  return { service_id: toHex(request.subarray(0, 1)), data: toHex(request.subarray(1)) };
}

async function ended(gateway: Gateway, requestId: string): Promise<DiagnosticResult> {
  for (;;) {
    const path = `/diagnostics/results/${requestId}?wait_ms=${WAIT_MS}`;
    const found = await gateway.get(path, DiagnosticResult);
    if (found.completed_at !== null) return found;
  }
}

function outcomeOf(
  { status, error, responses }: DiagnosticResult,
  addressOf: ReadonlyMap<string, number>,
): RemoteOutcome {
  if (status !== "completed" && status !== "negative_response") {
    return {
      kind: "failed",
      code: error?.code ?? status,
      message: error?.message ?? `the request has ended as ${status}`,
    };
  }
  const answers = responses.flatMap(({ ecu_id, response_data }) => {
    const logical_address = addressOf.get(ecu_id);
    const response = fromHex(response_data);
    return logical_address === undefined || response === undefined
      ? []
      : [{ logical_address, response }];
  });
  return { kind: "answered", answers };
}

function sessionOutcome(
  { session_id, status, response_data, end_reason, error }: DiagnosticSession,
  logical_address: number,
): RemoteSession | RemoteOutcome {
  const response = fromHex(response_data ?? "");
  const hasAnswered = response !== undefined && response.length > 0;
  if (status === "open" && hasAnswered) return { session_id, response };
  if (hasAnswered) return { kind: "answered", answers: [{ logical_address, response }] };
  const code =
    error?.code ?? (status === "awaiting_approval" ? "APPROVAL_NEEDED" : "SESSION_ENDED");
  const message = error?.message ?? `the session is ${end_reason ?? status}`;
  return { kind: "failed", code, message };
}
