import { Nrc } from "#protocol/uds/nrc.ts";
import { negativeResponse } from "#protocol/uds/response.ts";
import {
  POSITIVE_OFFSET,
  Sid,
  SUPPRESS_POSITIVE,
  suppressesPositive,
} from "#protocol/uds/service.ts";
import type { RemoteCar, RemoteEcu, RemoteOutcome, RemoteSession } from "./remote-car.ts";

const DEFAULT_SESSION = 0x01;
/** Requests that begin later find the session gone, as an ECU's tester does after S3. */
const GONE = ["SESSION_UNKNOWN", "SESSION_ENDED"];

/**
 * The sessions of the testers on this tunnel, by connection and ECU: one that comes back under the
 * address of a connection that is still ending has nothing to do with what that one leaves behind.
 */
export interface TunnelSessions {
  /** Carries out a request of a tester; sessions begin and end with its 10. */
  ask(connection: number, ecu: RemoteEcu, request: Uint8Array): Promise<RemoteOutcome>;
  /** The connection has ended. */
  leave(connection: number): Promise<void>;
  closeAll(): Promise<void>;
}

/**
 * A tester enters a session by 10 and keeps it up by 3E. Here the car keeps it up: the ECU is locked
 * for this operator at the gateway, and 3E is answered on the spot.
 */
export function tunnelSessions(car: RemoteCar): TunnelSessions {
  const sessions = new Map<string, { connection: number; session: RemoteSession }>();
  const present = new Set<number>();

  async function enter(
    connection: number,
    ecu: RemoteEcu,
    udsSession: number,
  ): Promise<RemoteOutcome> {
    const opened = await car.openSession(ecu, udsSession);
    if ("kind" in opened) return opened;
    if (present.has(connection))
      sessions.set(key(connection, ecu), { connection, session: opened });
    // Whom it was for has left meanwhile: nobody else would give the ECU back.
    else await car.closeSession(opened);
    return answered(ecu, opened.response);
  }

  async function askInSession(
    place: string,
    ecu: RemoteEcu,
    request: Uint8Array,
    session: RemoteSession,
  ): Promise<RemoteOutcome> {
    if (isTesterPresent(request)) {
      return answered(ecu, Uint8Array.of(Sid.testerPresent + POSITIVE_OFFSET, 0x00));
    }
    const outcome = await car.ask(ecu, request, session);
    if (outcome.kind === "failed" && GONE.includes(outcome.code)) {
      sessions.delete(place);
      const nrc = Nrc.serviceNotSupportedInActiveSession;
      return answered(ecu, negativeResponse(request[0] ?? 0, nrc));
    }
    if (sessionAsked(request) === DEFAULT_SESSION && isPositive(outcome)) {
      sessions.delete(place);
      await car.closeSession(session);
    }
    return outcome;
  }

  return {
    ask(connection, ecu, request) {
      present.add(connection);
      const place = key(connection, ecu);
      const open = sessions.get(place);
      if (open) return askInSession(place, ecu, request, open.session);
      const wanted = sessionAsked(request);
      const entersOne = wanted !== undefined && wanted !== DEFAULT_SESSION;
      return entersOne ? enter(connection, ecu, wanted) : car.ask(ecu, request);
    },
    async leave(connection) {
      present.delete(connection);
      const left = [...sessions].filter(([, each]) => each.connection === connection);
      for (const [place] of left) sessions.delete(place);
      await Promise.all(left.map(([, { session }]) => car.closeSession(session)));
    },
    async closeAll() {
      present.clear();
      const all = [...sessions.values()];
      sessions.clear();
      await Promise.all(all.map(({ session }) => car.closeSession(session)));
    },
  };
}

/**
 * 3E 80, to one ECU or all: nobody answers it, and whom it is to keep in a session the car keeps
 * there. A request to the car would only be in the way of those after it.
 */
export function isKeepAlive(request: Uint8Array): boolean {
  return isTesterPresent(request) && suppressesPositive(request);
}

/** A well-formed 3E; of another one the ECU says what is wrong. */
function isTesterPresent(request: Uint8Array): boolean {
  const [sid, subFunction = 0xff] = request;
  return (
    sid === Sid.testerPresent && request.length === 2 && (subFunction & ~SUPPRESS_POSITIVE) === 0
  );
}

function key(connection: number, { logical_address }: RemoteEcu): string {
  return `${connection} ${logical_address}`;
}

/** The session that a well-formed 10 asks for. */
function sessionAsked(request: Uint8Array): number | undefined {
  const [sid, subFunction] = request;
  return sid === Sid.diagnosticSessionControl && request.length === 2 && subFunction !== undefined
    ? subFunction & ~SUPPRESS_POSITIVE
    : undefined;
}

function answered({ logical_address }: RemoteEcu, response: Uint8Array): RemoteOutcome {
  return { kind: "answered", answers: [{ logical_address, response }] };
}

function isPositive(outcome: RemoteOutcome): boolean {
  return outcome.kind === "answered" && outcome.answers[0]?.response[0] !== Sid.negativeResponse;
}
