import type { ServerConfig } from "#config/server.ts";
import { toHex } from "#protocol/bytes/hex.ts";
import type { DiagnosticRequest, DiagnosticResponse } from "#protocol/mqtt/diagnostics.ts";
import type { Db } from "#server/database/connection.ts";
import type { Mqtt } from "#server/mqtt/broker.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import {
  finishRequest,
  insertRequest,
  noteAttempt,
  openRequest,
  type NewRequest,
} from "./queries.ts";
import { outcomeOf, outcomeOfSilence, type Outcome } from "./request.ts";

export interface Dispatcher {
  /** Stores a request and sends it; resolves when it is stored, the answer comes later. */
  send(request: NewRequest): Promise<void>;
  /** Takes a vehicle's answer. @returns false when nobody waits for it */
  answer(vin: string, response: DiagnosticResponse): Promise<boolean>;
  /** Resolves when the request has ended, or after `ms`. */
  settled(requestId: string, ms: number): Promise<void>;
  /** Gives up waiting; what is open is ended by maintenance. */
  stop(): void;
}

export interface DispatchDeps {
  db: Db;
  mqtt: Mqtt;
  config: ServerConfig["diagnostics"];
  metrics: Metrics;
  log: Log;
}

interface Waiting {
  /** Ends the wait for the current attempt. */
  attemptOver?: (outcome: Outcome | "silence") => void;
  ended: Promise<void>;
}

/**
 * Sends requests to vehicles and waits for their answers. The database says what a request has come
 * to; what is kept here only wakes up whoever waits on this gateway.
 */
export function createDispatcher(deps: DispatchDeps): Dispatcher {
  const { db, mqtt, metrics, log } = deps;
  const open = new Map<string, Waiting>();

  /** Attempts one after the other until one brings something; services that change something get one. */
  async function run(request: NewRequest, waiting: Waiting): Promise<void> {
    for (let attempt = 1; attempt <= request.max_attempts; attempt++) {
      if (!(await noteAttempt(db, request.request_id, attempt))) return;
      const answered = nextAnswer(waiting, request.timeout_ms);
      const sent = mqtt.send(request.vin, "diagnostics", message(request, attempt));
      if (sent === "offline" || sent === "busy") {
        waiting.attemptOver?.("silence");
        await end(request, { status: "network_error", responses: [], error: unsent[sent] });
        return;
      }
      const outcome = await answered;
      if (outcome === "retry") continue;
      // An answer is stored by whoever takes it, before the vehicle's message is acknowledged.
      if (outcome !== "silence") return;
      const verdict = outcomeOfSilence(request.timeout_ms, attempt < request.max_attempts);
      if (verdict !== "retry") await end(request, verdict);
    }
  }

  async function end(
    request: { vin: string; request_id: string },
    outcome: Exclude<Outcome, "retry">,
  ): Promise<boolean> {
    const ended = await finishRequest(db, request, outcome);
    if (ended) metrics.diagnostics.inc({ status: outcome.status });
    return ended;
  }

  return {
    async send(request) {
      await insertRequest(db, request);
      const waiting: Waiting = { ended: Promise.resolve() };
      waiting.ended = run(request, waiting)
        .catch((error: unknown) =>
          log.error({ err: error, request_id: request.request_id }, "Diagnostic request failed"),
        )
        .finally(() => open.delete(request.request_id));
      open.set(request.request_id, waiting);
    },
    async answer(vin, response) {
      const { request_id, attempt } = response;
      const stored = await openRequest(db, vin, request_id);
      if (stored === undefined || isOfAnother(response, stored)) return false;
      const waiting = open.get(request_id);
      const more = waiting !== undefined && attempt < stored.max_attempts;
      const named = stored.ecu_id === null ? response : { ...response, ecu_id: stored.ecu_id };
      const outcome = outcomeOf(named, more);
      if (outcome !== "retry" && !(await end({ vin, request_id }, outcome))) return false;
      // The answer to an earlier attempt that failed must not cut the present one short.
      if (outcome !== "retry" || attempt === stored.attempts) waiting?.attemptOver?.(outcome);
      return true;
    },
    async settled(requestId, ms) {
      const waiting = open.get(requestId);
      if (waiting === undefined) return;
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((done) => {
        timer = setTimeout(done, ms);
      });
      await Promise.race([waiting.ended, late]);
      clearTimeout(timer);
    },
    stop() {
      for (const waiting of open.values())
        waiting.attemptOver?.({ status: "expired", responses: [] });
    },
  };
}

const unsent = {
  offline: { code: "VEHICLE_OFFLINE", message: "the vehicle is not connected" },
  busy: { code: "VEHICLE_BUSY", message: "the vehicle does not take what was sent to it before" },
};

/** An answer in the name of an ECU that was not asked is none. */
function isOfAnother(response: DiagnosticResponse, asked: { ecu_id: string | null }): boolean {
  return asked.ecu_id !== null && response.ecu_id !== undefined && response.ecu_id !== asked.ecu_id;
}

function nextAnswer(waiting: Waiting, ms: number): Promise<Outcome | "silence"> {
  return new Promise((done) => {
    const timer = setTimeout(() => done("silence"), ms);
    waiting.attemptOver = (outcome) => {
      clearTimeout(timer);
      done(outcome);
    };
  });
}

function message(request: NewRequest, attempt: number): DiagnosticRequest {
  const { request_id, ecu_id, zone_id, request_data, timeout_ms } = request;
  return {
    request_id,
    ...(ecu_id === null ? {} : { ecu_id }),
    ...(zone_id === null ? {} : { zone_id }),
    service_id: `0x${toHex(request_data.subarray(0, 1))}`,
    data: toHex(request_data.subarray(1)),
    timeout_ms,
    attempt,
  };
}
