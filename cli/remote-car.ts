import Type from "typebox";
import { DiagnosticResult, type DiagnosticSend } from "#protocol/api/diagnostics.ts";
import { Uuid } from "#protocol/api/identifier.ts";
import { Page } from "#protocol/api/page.ts";
import { Vci } from "#protocol/api/vci.ts";
import { fromHex, toHex } from "#protocol/bytes/hex.ts";
import { GatewayError, type Gateway } from "./gateway.ts";

/** An ECU of the car, by its DoIP logical address. */
export interface RemoteEcu {
  ecu_id: string;
  zone_id: string;
  logical_address: number;
}

/** What came back for a request: answers, each from its ECU, or why there is none. */
export type RemoteOutcome =
  | { kind: "answered"; answers: { logical_address: number; response: Uint8Array }[] }
  | { kind: "failed"; code: string; message: string };

/** A car that is reached through the gateway. */
export interface RemoteCar {
  readonly vin: string;
  readonly ecus: readonly RemoteEcu[];
  /** Asks one ECU. Does not throw: what goes wrong is an outcome. */
  ask(ecu: RemoteEcu, request: Uint8Array): Promise<RemoteOutcome>;
  /** Asks every ECU of every zone. */
  askAll(request: Uint8Array): Promise<RemoteOutcome>;
}

const Accepted = Type.Object({ request_id: Uuid });
const CurrentVci = Page(Type.Object({ zones: Vci.properties.zones, ecus: Vci.properties.ecus }));

/** One wait at the gateway; a request that takes longer is waited for once more. */
const WAIT_MS = 30_000;

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

  async function exchange(path: string, body: object): Promise<RemoteOutcome> {
    try {
      const { request_id } = await gateway.post(path, Buffer.from(JSON.stringify(body)), Accepted);
      return outcomeOf(await result(gateway, request_id), addressOf);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      return { kind: "failed", code: error.code, message: error.message };
    }
  }

  return {
    vin,
    ecus,
    ask: ({ ecu_id }, request) =>
      exchange("/diagnostics/send", { vin, ecu_id, ...service(request) } satisfies DiagnosticSend),
    async askAll(request) {
      const outcomes = await Promise.all(
        zones.map((zone_id) =>
          exchange("/diagnostics/broadcast", { vin, zone_id, ...service(request) }),
        ),
      );
      const answers = outcomes.flatMap((each) => (each.kind === "answered" ? each.answers : []));
      const failed = outcomes.find((each) => each.kind === "failed");
      return answers.length === 0 && failed ? failed : { kind: "answered", answers };
    },
  };
}

function service(request: Uint8Array): { service_id: string; data: string } {
  return { service_id: toHex(request.subarray(0, 1)), data: toHex(request.subarray(1)) };
}

async function result(gateway: Gateway, requestId: string): Promise<DiagnosticResult> {
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
