import { Nrc } from "#protocol/uds/nrc.ts";
import { negativeResponse } from "#protocol/uds/response.ts";
import { POSITIVE_OFFSET, Sid, SUPPRESS_POSITIVE } from "#protocol/uds/service.ts";
import type { RemoteCar, RemoteEcu, RemoteOutcome, RemoteSession } from "./remote-car.ts";

const DEFAULT_SESSION = 0x01;
/** Requests that begin later find the session gone, as an ECU's tester does after S3. */
const GONE = ["SESSION_UNKNOWN", "SESSION_ENDED"];

/** The sessions of the testers on this tunnel, by tester and ECU. */
export interface TunnelSessions {
  /** Carries out a request of a tester; sessions begin and end with its 10. */
  ask(tester: number, ecu: RemoteEcu, request: Uint8Array): Promise<RemoteOutcome>;
  /** The tester has gone. */
  leave(tester: number): Promise<void>;
  closeAll(): Promise<void>;
}

/**
 * A tester enters a session by 10 and keeps it up by 3E. Here the car keeps it up: the ECU is locked
 * for this operator at the gateway, and 3E is answered on the spot.
 */
export function tunnelSessions(car: RemoteCar): TunnelSessions {
  const sessions = new Map<string, { tester: number; session: RemoteSession }>();

  async function enter(tester: number, ecu: RemoteEcu, udsSession: number): Promise<RemoteOutcome> {
    const opened = await car.openSession(ecu, udsSession);
    if ("kind" in opened) return opened;
    sessions.set(key(tester, ecu), { tester, session: opened });
    return answered(ecu, opened.response);
  }

  async function askInSession(
    place: string,
    ecu: RemoteEcu,
    request: Uint8Array,
    session: RemoteSession,
  ): Promise<RemoteOutcome> {
    if (request[0] === Sid.testerPresent && request.length === 2) {
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
    ask(tester, ecu, request) {
      const place = key(tester, ecu);
      const open = sessions.get(place);
      if (open) return askInSession(place, ecu, request, open.session);
      const wanted = sessionAsked(request);
      const entersOne = wanted !== undefined && wanted !== DEFAULT_SESSION;
      return entersOne ? enter(tester, ecu, wanted) : car.ask(ecu, request);
    },
    async leave(tester) {
      const left = [...sessions].filter(([, each]) => each.tester === tester);
      for (const [place] of left) sessions.delete(place);
      await Promise.all(left.map(([, { session }]) => car.closeSession(session)));
    },
    async closeAll() {
      const all = [...sessions.values()];
      sessions.clear();
      await Promise.all(all.map(({ session }) => car.closeSession(session)));
    },
  };
}

function key(tester: number, { logical_address }: RemoteEcu): string {
  return `${tester} ${logical_address}`;
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
