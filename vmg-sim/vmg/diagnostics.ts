import type { Logger } from "pino";
import { Compile } from "typebox/compile";
import { fromHex, toHex } from "#protocol/bytes/hex.ts";
import {
  diagnosticErrors,
  DiagnosticRequest,
  type DiagnosticErrorCode,
  type DiagnosticResponse,
  isDiagnosticResponse,
  type VehicleTiming,
} from "#protocol/mqtt/diagnostics.ts";
import { isReadOnly } from "#protocol/uds/service.ts";
import type { DiagnosticMemory } from "./diagnostic-memory.ts";
import type { AgentEvent } from "./event.ts";
import type { DiagnosticSessions } from "./diagnostic-sessions.ts";
import type { Pace } from "./pace.ts";
import {
  askRemotely,
  InterlockError,
  RemoteRefusedError,
  type RemoteAccess,
} from "./remote-access.ts";
import type { UdsRequestOptions } from "./uds-link.ts";
import type { NetworkZone, VehicleNetwork } from "./vehicle-network.ts";

export interface DiagnosticsDeps {
  network: VehicleNetwork;
  memory: DiagnosticMemory;
  access: RemoteAccess;
  sessions: Pick<DiagnosticSessions, "admit" | "left">;
  pace: Pace;
  log: Logger;
  /** `durable`: the response must reach the gateway even after a restart. */
  respond: (response: DiagnosticResponse, durable: boolean) => void;
  onEvent: (event: AgentEvent) => void;
}

export interface Diagnostics {
  /**
   * Takes a message of the diagnostics topic. Resolves when a restart can no longer make the VMG
   * carry a changing request out twice; the work goes on, and its response follows by `respond`.
   */
  handle(payload: unknown): Promise<void>;
  /** Gives up a request whose ECU has not been asked yet. */
  cancel(requestId: string): void;
  /** The same for all of them: remote diagnostics has been ended. */
  revoke(reason: string): void;
  /** Gives up what is under way. */
  stop(): Promise<void>;
}

/** A request under way. */
interface Running {
  /** The latest attempt: that is the one to answer. */
  latest: DiagnosticRequest;
  /** The ECU has been asked. */
  begun: boolean;
  givingUp: AbortController;
  done: Promise<void>;
}

type Outcome = Omit<DiagnosticResponse, "request_id" | "attempt" | "ecu_id">;

const MAX_IN_FLIGHT = 32;
/** Kept from the gateway's time-out for the way back: a tenth of it, 300 ms at the most. */
const MARGIN = { share: 0.1, most_ms: 300 };
/** Every ECU of a zone has answered by then, or asked for more time with a 78. */
const GROUP_WINDOW_MS = 1000;
/** The gateway closes the connection of who sends it more than 256 KiB. */
const MAX_RESPONSE_CHARS = 200_000;

const diagnosticRequest = Compile(DiagnosticRequest);

/** Carries out diagnostic requests, side by side for different ECUs, each at most once. */
export function createDiagnostics(deps: DiagnosticsDeps): Diagnostics {
  const { memory, log } = deps;
  const stopping = new AbortController();
  const running = new Map<string, Running>();

  function answer(request: DiagnosticRequest, outcome: Outcome, repeated: boolean): void {
    const { request_id, attempt, ecu_id } = request;
    const response = { request_id, attempt, ...(ecu_id !== undefined && { ecu_id }), ...outcome };
    deps.respond(response, !isReadOnly(udsBytes(request)));
    deps.onEvent({ type: "diagnostic_handled", request, response, repeated });
  }

  async function run(request: DiagnosticRequest, work: Running): Promise<void> {
    const signal = AbortSignal.any([stopping.signal, work.givingUp.signal]);
    const outcome = await carryOut(deps, request, signal, () => {
      work.begun = true;
    });
    if (stopping.signal.aborted) return;
    if (!isReadOnly(udsBytes(request)) || outcome.success) {
      await memory.remember(request.request_id, outcome);
    }
    // Before the answer: a repeat that follows it must find the outcome, not the work.
    running.delete(request.request_id);
    answer(work.latest, outcome, false);
  }

  return {
    async handle(payload) {
      if (isDiagnosticResponse(payload)) return;
      if (!diagnosticRequest.Check(payload)) return refuseMalformed(deps, payload);
      const already = running.get(payload.request_id);
      if (already) {
        already.latest = payload;
        return;
      }
      const remembered = memory.recall(payload.request_id);
      if (remembered) return answer(payload, remembered, true);
      const refused = refusal(deps, payload, running.size);
      if (refused) return answer(payload, refused, false);
      const isChange = !isReadOnly(udsBytes(payload));
      const noted = isChange ? memory.begin(payload.request_id) : undefined;
      const givingUp = new AbortController();
      const work: Running = { latest: payload, begun: false, givingUp, done: Promise.resolve() };
      work.done = Promise.resolve(noted)
        .then(() => run(payload, work))
        .catch((error: unknown) => {
          running.delete(payload.request_id);
          log.error({ err: error }, "a diagnostic request could not be answered");
        });
      running.set(payload.request_id, work);
      await noted;
    },
    cancel(requestId) {
      const work = running.get(requestId);
      if (work?.begun === false) work.givingUp.abort(new RemoteRefusedError("CANCELLED"));
    },
    revoke(reason) {
      const waiting = [...running.values()].filter(({ begun }) => !begun);
      for (const { givingUp } of waiting) givingUp.abort(new RemoteRefusedError("REVOKED", reason));
    },
    async stop() {
      stopping.abort(new Error("the VMG is stopping"));
      await Promise.all([...running.values()].map(({ done }) => done));
    },
  };
}

function udsBytes({ service_id, data }: DiagnosticRequest): Uint8Array {
  return fromHex(service_id + data) ?? new Uint8Array(0);
}

function failure(code: DiagnosticErrorCode, message: string = diagnosticErrors[code]): Outcome {
  return { success: false, error: { code, message: message.slice(0, 1024) } };
}

/** Answers what can't be read, when at least its id can. */
function refuseMalformed({ respond, log }: DiagnosticsDeps, payload: unknown): void {
  const [error] = diagnosticRequest.Errors(payload);
  const reason = `${error?.instancePath ?? ""} ${error?.message ?? ""}`.trim();
  log.warn({ reason }, "a diagnostic request does not fit its schema");
  const { request_id: id } = (payload ?? {}) as { request_id?: unknown };
  if (typeof id !== "string" || !/^[0-9a-f-]{36}$/.test(id)) return;
  respond({ request_id: id, attempt: 1, ...failure("REQUEST_INVALID", reason) }, false);
}

/** Why a request is not even tried; it may be sent again later. */
function refusal(
  { network, access, sessions }: DiagnosticsDeps,
  request: DiagnosticRequest,
  inFlight: number,
): Outcome | undefined {
  const { ecu_id, zone_id, session_id } = request;
  if ((ecu_id === undefined) === (zone_id === undefined)) {
    return failure("REQUEST_INVALID", "one of ecu_id and zone_id");
  }
  const asked = askedEcus(network, request);
  if (asked.length === 0) return failure("ECU_UNKNOWN");
  try {
    access.admit(asked, udsBytes(request));
    sessions.admit(asked, session_id);
  } catch (error) {
    if (error instanceof RemoteRefusedError) return failure(error.code, error.message);
    throw error;
  }
  return inFlight >= MAX_IN_FLIGHT
    ? failure("VEHICLE_BUSY", "too many requests at once")
    : undefined;
}

function askedEcus(network: VehicleNetwork, { ecu_id, zone_id }: DiagnosticRequest): string[] {
  const ids = ecu_id ?? network.findZone(zone_id ?? "")?.ecus.map((ecu) => ecu.ecu_id) ?? [];
  return [ids].flat().filter((id) => network.findEcu(id));
}

async function carryOut(
  deps: DiagnosticsDeps,
  request: DiagnosticRequest,
  signal: AbortSignal,
  onBegin: () => void,
): Promise<Outcome> {
  const { pace } = deps;
  const started = pace.now().getTime();
  let timing: VehicleTiming = {};
  const options = {
    signal,
    onPending() {
      const { request_id, attempt } = request;
      deps.respond({ request_id, attempt, success: true, pending: true }, false);
    },
    onTiming(measured: VehicleTiming) {
      timing = measured;
    },
    beforeSend() {
      deps.sessions.admit(askedEcus(deps.network, request), request.session_id);
      onBegin();
    },
  };
  const outcome = await exchange(deps, request, options).catch((error: unknown) =>
    explain(error, deps.log),
  );
  const duration_ms = Math.max(0, pace.now().getTime() - started);
  const timed = { ...outcome, duration_ms, timing };
  return JSON.stringify(timed).length <= MAX_RESPONSE_CHARS
    ? timed
    : failure("REQUEST_INVALID", "the answer is too long for a message");
}

type ExchangeOptions = Required<Omit<UdsRequestOptions, "timeoutMs">> & { signal: AbortSignal };

async function exchange(
  { network, access, sessions }: DiagnosticsDeps,
  request: DiagnosticRequest,
  options: ExchangeOptions,
): Promise<Outcome> {
  // Whoever comes after a session finds the ECU as it was before.
  if (request.session_id === undefined) await sessions.left(askedEcus(network, request));
  const bytes = udsBytes(request);
  const margin = Math.min(request.timeout_ms * MARGIN.share, MARGIN.most_ms);
  const timeoutMs = Math.max(1, Math.floor(request.timeout_ms - margin));
  const ecu = network.findEcu(request.ecu_id ?? "");
  if (ecu) {
    const answer = await askRemotely(access, ecu, bytes, { ...options, timeoutMs });
    const { response, interlock } = answer;
    return { success: true, response_data: toHex(response), ...(interlock && { interlock }) };
  }
  const zone = network.findZone(request.zone_id ?? "");
  if (!zone) return failure("ECU_UNKNOWN");
  return exchangeWithZone(access, zone, bytes, Math.min(timeoutMs, GROUP_WINDOW_MS), options);
}

async function exchangeWithZone(
  access: RemoteAccess,
  { link, functional_address, ecus }: NetworkZone,
  bytes: Uint8Array,
  windowMs: number,
  { beforeSend, ...options }: ExchangeOptions,
): Promise<Outcome> {
  const ecuIds = ecus.map(({ ecu_id }) => ecu_id);
  const check = () => {
    access.check(ecuIds, bytes);
    beforeSend?.();
  };
  try {
    const answers = await link.requestFunctional(functional_address, bytes, windowMs, {
      ...options,
      beforeSend: check,
    });
    const responses = answers.flatMap(({ source, response }) => {
      const from = ecus.find(({ logical_address }) => logical_address === source);
      return from ? [{ ecu_id: from.ecu_id, response_data: toHex(response) }] : [];
    });
    return responses.length > 0
      ? { success: true, responses }
      : failure("UDS_TIMEOUT", "no ECU of the zone answered in time");
  } catch (error) {
    if (!(error instanceof InterlockError)) throw error;
    const { interlock, response } = error;
    const response_data = toHex(response);
    return {
      success: true,
      responses: ecuIds.map((ecu_id) => ({ ecu_id, response_data })),
      interlock,
    };
  }
}

function explain(error: unknown, log: Logger): Outcome {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code === "string" && Object.hasOwn(diagnosticErrors, code)) {
    return failure(code as DiagnosticErrorCode, String(message));
  }
  log.error({ err: error }, "a diagnostic request failed for a reason of the VMG's own");
  return failure("VEHICLE_BUSY", `the VMG failed: ${String(message)}`);
}
