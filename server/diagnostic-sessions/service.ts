import type { ServerConfig } from "#config/server.ts";
import type { SessionRequest, SessionTakeover } from "#protocol/api/diagnostic-session.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import type { DiagnosticEvent } from "#protocol/mqtt/diagnostic-event.ts";
import { appendEntry, type AuditLog } from "#server/audit/audit-log.ts";
import type { Db } from "#server/database/connection.ts";
import { follow } from "#server/database/follow.ts";
import type { Approvals } from "#server/diagnostic-policy/approvals.ts";
import type { Operator } from "#server/http/access.ts";
import type { Mqtt } from "#server/mqtt/broker.ts";
import type { Log } from "#server/runtime/log.ts";
import type { Metrics } from "#server/runtime/metrics.ts";
import type { Waiters } from "#server/runtime/waiters.ts";
import { createEndings, type EndedListener, type Endings } from "./ending.ts";
import { createKeeper } from "./keeper.ts";
import { decideSession, openSession, takeOverSession, type OpeningDeps } from "./opening.ts";
import {
  noteOpened,
  sessionById,
  sessionsEndedSince,
  sessionsOverdue,
  sessionsToSettle,
  type SessionRow,
} from "./queries.ts";
import type { Revocation } from "./revocation.ts";
import type { Revocations } from "./revoke.ts";

type EventOf<Kind extends DiagnosticEvent["kind"]> = Extract<DiagnosticEvent, { kind: Kind }>;
export type SessionEvent = EventOf<"session_opened"> | EventOf<"session_ended">;

export interface Sessions {
  open(operator: Operator, request: SessionRequest): Promise<SessionRow>;
  takeOver(operator: Operator, sessionId: string, request: SessionTakeover): Promise<SessionRow>;
  /** @throws ProblemError SESSION_UNKNOWN, SESSION_OF_ANOTHER */
  close(operator: Operator, sessionId: string): Promise<SessionRow>;
  /** Takes what a vehicle says of its own. @returns false when it has no such session */
  take(vin: string, event: SessionEvent): Promise<boolean>;
  /** An update of the vehicle has begun: it needs its ECUs. */
  updateStarted(vin: string): Promise<void>;
  /** Ends what is overdue and nobody keeps. @returns how many */
  expire(): Promise<number>;
  onEnded(listener: EndedListener): void;
  stop(): void;
}

export interface SessionDeps {
  db: Db;
  audit: AuditLog;
  mqtt: Mqtt;
  approvals: Approvals;
  revocations: Revocations;
  waiters: Waiters;
  config: ServerConfig["diagnostics"];
  /** How often what other gateways end is looked for; undefined where there is none. */
  everyMs: number | undefined;
  metrics: Metrics;
  log: Log;
}

/** What ended longer ago has been seen, or its vehicle was not here. */
const RECENT_MS = 60_000;
/** A vehicle may take so many times as long as an attempt of a request to open a session. */
const OPENING_ATTEMPTS = 3;

/**
 * Sessions: the database says what they are; what is kept here renews leases and wakes up who waits.
 * When this gateway ends, a vehicle keeps its sessions for their lease, and whichever gateway it
 * connects to takes them up.
 */
export async function createSessions(deps: SessionDeps): Promise<Sessions> {
  const { db, mqtt, config, log } = deps;
  const openingMs = OPENING_ATTEMPTS * config.timeout_ms;
  const inBackground = (work: Promise<unknown>) => {
    work.catch((error: unknown) => log.error({ err: error }, "Sessions could not be settled"));
  };
  const keeper = createKeeper(mqtt, {
    leaseMs: config.session_lease_s * 1000,
    openingMs,
    overdue: (sessionId) => inBackground(endOverdue(sessionId)),
  });
  const endings = createEndings({ ...deps, keeper });
  const base: OpeningDeps = { ...deps, keeper, endings };

  async function endOverdue(sessionId: string): Promise<void> {
    const row = await sessionById(db, sessionId);
    if (row === undefined) return;
    const isOver = row.expires_at.getTime() <= Date.now();
    if (!isOver && row.status !== "opening") return;
    await endings.end({ session_id: sessionId }, isOver ? timeOver : unanswered);
  }

  async function settle(vin: string): Promise<void> {
    for (const row of await sessionsToSettle(db, vin, config.session_lease_s)) {
      if (row.status === "open") keeper.renew(row);
      else if (row.status === "opening") keeper.open(row);
      else keeper.close(row);
    }
  }

  // Somebody may have ended it at another gateway than the one that the vehicle is connected to.
  const followed = await follow({
    what: "ended diagnostic sessions",
    changedSince: (since) => sessionsEndedSince(db, since, RECENT_MS),
    apply(rows) {
      for (const row of rows) if (keeper.holds(row.session_id)) keeper.close(row);
    },
    everyMs: deps.everyMs,
    log,
  });
  mqtt.whenListening("diagnostics/control", (vin) => inBackground(settle(vin)));
  deps.approvals.onDecided(async (decision) => {
    if (decision.subject_kind === "session") await decideSession(base, decision);
  });
  deps.revocations.onRevoked((revocation) => revokeSessions(deps.mqtt, endings, revocation));

  return {
    open: (operator, request) => openSession(base, operator, request),
    takeOver: (operator, id, request) => takeOverSession(base, operator, id, request),
    close: (operator, id) => closeSession(base, operator, id),
    take: (vin, event) => takeEvent(base, vin, event),
    async updateStarted(vin) {
      await endings.end({ vin, statuses: running }, { reason: "update_started", by: "gateway" });
    },
    async expire() {
      const overdue = await sessionsOverdue(db, openingMs / 1000);
      for (const { session_id, reason } of overdue) {
        const ending = reason === "refused" ? unanswered : ({ reason, by: "gateway" } as const);
        await endings.end({ session_id }, ending);
      }
      return overdue.length;
    },
    onEnded: endings.onEnded,
    stop() {
      followed.stop();
      keeper.stop();
    },
  };
}

const running = ["opening", "open"] as const;
const timeOver = { reason: "time_over", by: "gateway" } as const;
const unanswered = {
  reason: "refused",
  by: "gateway",
  error: { code: "VEHICLE_TIMEOUT", message: "the vehicle did not say that it is open" },
} as const;

async function revokeSessions(mqtt: Mqtt, endings: Endings, revocation: Revocation): Promise<void> {
  const { vin, operator, token_id, cause, reason, revoked_by, changed_at } = revocation;
  if (operator === null && token_id === null) {
    for (const each of vin === null ? mqtt.connected() : [vin]) {
      mqtt.send(each, "diagnostics/control", { kind: "revoke", reason });
    }
  }
  const named = {
    ...(vin === null ? {} : { vin }),
    ...(operator === null ? {} : { operator }),
    ...(token_id === null ? {} : { token_id }),
  };
  await endings.end({ ...named, until: changed_at }, { reason: cause, by: revoked_by });
}

async function closeSession(
  { db, endings }: OpeningDeps,
  operator: Operator,
  sessionId: string,
): Promise<SessionRow> {
  const row = await sessionById(db, sessionId);
  if (row === undefined) throw new ProblemError("SESSION_UNKNOWN", sessionId);
  if (row.operator !== operator.name && operator.role !== "admin") {
    throw new ProblemError("SESSION_OF_ANOTHER", `it is of ${row.operator}`);
  }
  const by = `operator:${operator.name}`;
  const [ended] = await endings.end({ session_id: sessionId }, { reason: "closed", by });
  return ended ?? (await sessionById(db, sessionId)) ?? row;
}

async function takeEvent(deps: OpeningDeps, vin: string, event: SessionEvent): Promise<boolean> {
  const { session_id } = event;
  const response = event.response === undefined ? undefined : Buffer.from(event.response, "hex");
  if (event.kind === "session_ended") {
    const { reason, interlock, error } = event;
    const ending = { reason, by: `vehicle:${vin}`, response, interlock, error };
    const ended = await deps.endings.end({ session_id, vin, statuses: running }, ending);
    // It may come again, and after the gateway has ended the session itself.
    return ended.length > 0 || (await isOf(deps.db, vin, session_id, ["ended"]));
  }
  const opened = await openedAudited(deps.db, vin, session_id, response ?? Buffer.alloc(0));
  if (opened) {
    deps.keeper.keep(opened);
    deps.waiters.wake(session_id);
    return true;
  }
  const row = await sessionById(deps.db, session_id);
  if (row?.vin !== vin || row.status === "awaiting_approval") return false;
  // It was ended while the vehicle opened it.
  if (row.status === "ended") deps.keeper.close(row);
  return true;
}

function openedAudited(
  db: Db,
  vin: string,
  sessionId: string,
  response: Buffer,
): Promise<SessionRow | undefined> {
  return db.transaction().execute(async (tx) => {
    const row = await noteOpened(tx, vin, sessionId, response);
    if (row === undefined) return undefined;
    const { ecu_id } = row;
    const actor = `vehicle:${vin}`;
    await appendEntry(tx, {
      actor,
      action: "session.opened",
      vin,
      ecu_id,
      subject: sessionId,
      response,
    });
    return row;
  });
}

async function isOf(
  db: Db,
  vin: string,
  sessionId: string,
  statuses: readonly SessionRow["status"][],
): Promise<boolean> {
  const row = await sessionById(db, sessionId);
  return row?.vin === vin && statuses.includes(row.status);
}
