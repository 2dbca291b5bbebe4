import type { DiagnosticControl } from "#protocol/mqtt/diagnostic-control.ts";
import type { Mqtt } from "#server/mqtt/broker.ts";
import type { SendResult } from "#server/mqtt/outgoing.ts";
import type { SessionRow } from "./queries.ts";

/** Speaks with vehicles about sessions, and renews from memory what those connected here have open. */
export interface Keeper {
  /** Asks the vehicle to open it. */
  open(session: SessionRow): SendResult;
  /** It is open: from now on its lease is renewed. */
  keep(session: SessionRow): void;
  /** The same, and renews at once: the vehicle has come back. */
  renew(session: SessionRow): void;
  /** Lets go of a session and tells the vehicle, if it is connected here. */
  close(session: SessionRow): void;
  /** Is it renewed, or being opened, from here? */
  holds(sessionId: string): boolean;
  /** Lets go of a session that the vehicle has ended itself. */
  forget(sessionId: string): void;
  stop(): void;
}

export interface KeeperSettings {
  leaseMs: number;
  /** How long a vehicle may take to say that it has opened a session. */
  openingMs: number;
  /** Called when a session's time is over, or that for opening it. */
  overdue: (sessionId: string) => void;
}

/** Renewals within one lease: one or two may get lost. */
const RENEWALS = 3;

/**
 * A vehicle ends by itself a session that is not renewed. A session whose vehicle has gone is let go
 * of: whichever gateway the vehicle comes back to takes it up from the database.
 */
export function createKeeper(
  mqtt: Pick<Mqtt, "send">,
  { leaseMs, openingMs, overdue }: KeeperSettings,
): Keeper {
  const held = new Map<string, { renewal?: NodeJS.Timeout; end: NodeJS.Timeout }>();
  const send = (vin: string, message: DiagnosticControl) =>
    mqtt.send(vin, "diagnostics/control", message);

  const endIn = (sessionId: string, ms: number) =>
    setTimeout(() => overdue(sessionId), Math.max(0, ms)).unref();
  const left = ({ expires_at }: SessionRow) => expires_at.getTime() - Date.now();

  function renewal({ vin, session_id }: SessionRow): void {
    const result = send(vin, { kind: "renew_session", session_id, lease_ms: leaseMs });
    if (result === "offline") forget(session_id);
  }

  function keep(session: SessionRow): void {
    forget(session.session_id);
    held.set(session.session_id, {
      renewal: setInterval(() => renewal(session), leaseMs / RENEWALS).unref(),
      end: endIn(session.session_id, left(session)),
    });
  }

  function forget(sessionId: string): void {
    const timers = held.get(sessionId);
    clearInterval(timers?.renewal);
    clearTimeout(timers?.end);
    held.delete(sessionId);
  }

  return {
    open(session) {
      const { session_id, ecu_id, uds_session } = session;
      const result = send(session.vin, {
        kind: "open_session",
        session_id,
        ecu_id,
        uds_session,
        lease_ms: leaseMs,
        expires_at: session.expires_at.toISOString(),
      });
      if (result === "offline" || result === "busy") return result;
      forget(session_id);
      held.set(session_id, { end: endIn(session_id, Math.min(openingMs, left(session))) });
      return result;
    },
    keep,
    renew(session) {
      keep(session);
      renewal(session);
    },
    close({ vin, session_id }) {
      forget(session_id);
      send(vin, { kind: "close_session", session_id });
    },
    holds: (sessionId) => held.has(sessionId),
    forget,
    stop() {
      for (const id of [...held.keys()]) forget(id);
    },
  };
}
