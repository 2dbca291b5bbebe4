import type { Logger } from "pino";
import { Type, type Static } from "typebox";
import type { Clock } from "#protocol/doip/clock.ts";
import { toHex } from "#protocol/bytes/hex.ts";
import type { DiagnosticControl } from "#protocol/mqtt/diagnostic-control.ts";
import { SessionEnd, type DiagnosticEvent } from "#protocol/mqtt/diagnostic-event.ts";
import { relate } from "#protocol/uds/response.ts";
import { Sid } from "#protocol/uds/service.ts";
import { DEFAULT_SESSION } from "./ecu-talk.ts";
import { failureOf } from "./failure.ts";
import type { Pace } from "./pace.ts";
import { askRemotely, RemoteRefusedError, type RemoteAccess } from "./remote-access.ts";
import { stateFile, type StateFile } from "./state-file.ts";
import { keepPresent } from "./tester-present.ts";
import { startTimer } from "./timer.ts";
import type { NetworkEcu, VehicleNetwork } from "./vehicle-network.ts";

type OpenSession = Extract<DiagnosticControl, { kind: "open_session" }>;
type EndedEvent = Extract<DiagnosticEvent, { kind: "session_ended" }>;
type Ending = Omit<EndedEvent, "kind" | "session_id" | "ts">;

export interface DiagnosticSessionsDeps {
  network: VehicleNetwork;
  access: RemoteAccess;
  clock: Clock;
  pace: Pace;
  log: Logger;
  /** Keeps which sessions there are. */
  file: string;
  /** Puts an event where it can't be lost. */
  report: (event: DiagnosticEvent) => Promise<void>;
  /** Does something run on the ECU that belongs to no session, and is not to be disturbed? */
  isInUse: (ecuId: string) => boolean;
  /** What runs in a session has to end before it; resolves when it has. */
  beforeEnd: (sessionId: string, reason: SessionEnd) => Promise<void>;
}

/** The ECUs that are kept for one person each. */
export interface DiagnosticSessions {
  /** Resolves when a restart would know of the session; the rest is reported. */
  open(control: OpenSession): Promise<void>;
  renew(sessionId: string, leaseMs: number): Promise<void>;
  close(sessionId: string): Promise<void>;
  /** Ends the sessions of these ECUs, or all; resolves when the ECUs are back in their default one. */
  end(reason: SessionEnd, ecuIds?: readonly string[]): Promise<void>;
  /**
   * @throws RemoteRefusedError SESSION_UNKNOWN for a session that is not one of this ECU's, ECU_IN_SESSION
   *   for an ECU that is in one when none is named
   */
  admit(ecuIds: readonly string[], sessionId: string | undefined): void;
  /** Resolves when sessions of these ECUs that are over have left them. */
  left(ecuIds: readonly string[]): Promise<void>;
  /** Reports what a restart has ended; to be called once, when reports can be taken. */
  resume(): Promise<void>;
  stop(): Promise<void>;
}

const Persisted = Type.Array(
  Type.Object({ session_id: Type.String(), reason: Type.Optional(SessionEnd) }),
);

interface Live {
  control: OpenSession;
  over: AbortController;
  /** Settles with why it is over. */
  ending: PromiseWithResolvers<Ending>;
  lease: (ms: number) => void;
  opened?: DiagnosticEvent;
  done: Promise<void>;
}

/** Ended sessions that are remembered, for control messages that come again. */
const MOST_REMEMBERED = 64;
const OPEN_MS = 10_000;
const CLOSE_MS = 3_000;

interface State extends DiagnosticSessionsDeps {
  stateFile: StateFile<Static<typeof Persisted>>;
  /** Why each ended; undefined for those that live, or did when the VMG was killed. */
  known: Map<string, SessionEnd | undefined>;
  live: Map<string, Live>;
  stopping: boolean;
}

/** @throws StateFileError */
export async function openDiagnosticSessions(
  deps: DiagnosticSessionsDeps,
): Promise<DiagnosticSessions> {
  const file = stateFile(deps.file, Persisted);
  const kept = (await file.read()) ?? [];
  const known = new Map(kept.map(({ session_id, reason }) => [session_id, reason] as const));
  const state: State = { ...deps, stateFile: file, known, live: new Map(), stopping: false };
  const { live, report } = state;
  const tellEnd = (sessionId: string, unknown: SessionEnd) =>
    report(ended(state, sessionId, { reason: known.get(sessionId) ?? unknown }));

  return {
    open: (control) => open(state, control),
    async renew(sessionId, leaseMs) {
      const session = live.get(sessionId);
      if (session) session.lease(leaseMs);
      else await tellEnd(sessionId, "vehicle_restarted");
    },
    async close(sessionId) {
      const session = live.get(sessionId);
      if (session) session.ending.resolve({ reason: "closed" });
      else await tellEnd(sessionId, "closed");
    },
    async end(reason, ecuIds) {
      const chosen = [...live.values()].filter(
        ({ control }) => ecuIds?.includes(control.ecu_id) ?? true,
      );
      for (const { ending } of chosen) ending.resolve({ reason });
      await Promise.all(chosen.map(doneOf));
    },
    admit: (ecuIds, sessionId) => admit(state, ecuIds, sessionId),
    async left(ecuIds) {
      const over = ecuIds.flatMap((id) => liveOn(state, id)).filter(isOver);
      await Promise.all(over.map(doneOf));
    },
    async resume() {
      for (const [session_id, reason] of known) {
        if (reason !== undefined || live.has(session_id)) continue;
        await report(ended(state, session_id, { reason: "vehicle_restarted" }));
        await remember(state, session_id, "vehicle_restarted");
      }
    },
    async stop() {
      state.stopping = true;
      for (const { ending } of live.values()) ending.resolve({ reason: "vehicle_restarted" });
      await Promise.all([...live.values()].map(doneOf));
    },
  };
}

async function open(state: State, control: OpenSession): Promise<void> {
  const { network, live, known, report } = state;
  const { session_id, ecu_id } = control;
  const running = live.get(session_id);
  if (running) return running.opened && report(running.opened);
  const reason = known.get(session_id);
  if (reason !== undefined) return report(ended(state, session_id, { reason }));
  const refuse = (refusal: RemoteRefusedError) =>
    report(ended(state, session_id, { reason: "refused", error: failureOf(refusal) }));
  const ecu = network.findEcu(ecu_id);
  if (!ecu) return refuse(new RemoteRefusedError("ECU_UNKNOWN"));
  const isTaken = !liveOn(state, ecu_id).every(isOver);
  if (isTaken) return refuse(new RemoteRefusedError("ECU_IN_SESSION"));
  if (state.isInUse(ecu_id)) {
    return refuse(new RemoteRefusedError("VEHICLE_BUSY", "a script runs on the ECU"));
  }
  await remember(state, session_id);
  begin(state, control, ecu);
}

function admit(state: State, ecuIds: readonly string[], sessionId: string | undefined): void {
  if (sessionId === undefined) {
    if (ecuIds.some((id) => !liveOn(state, id).every(isOver))) {
      throw new RemoteRefusedError("ECU_IN_SESSION");
    }
    return;
  }
  const session = state.live.get(sessionId);
  const isItsOwn = ecuIds.length === 1 && ecuIds[0] === session?.control.ecu_id;
  if (!session || isOver(session) || !isItsOwn) {
    throw new RemoteRefusedError("SESSION_UNKNOWN");
  }
}

function begin(state: State, control: OpenSession, ecu: NetworkEcu): void {
  const { clock, pace, live, log } = state;
  const over = new AbortController();
  const ending = Promise.withResolvers<Ending>();
  const end = (reason: SessionEnd) => () => ending.resolve({ reason });
  const lease = startTimer(clock, end("lease_expired"));
  const time = startTimer(clock, end("time_over"));
  lease.in(control.lease_ms);
  time.in(Date.parse(control.expires_at) - pace.now().getTime());
  const before = Promise.all(liveOn(state, control.ecu_id).map(doneOf));
  const session: Live = { control, over, ending, lease: lease.in, done: Promise.resolve() };
  live.set(control.session_id, session);
  void ending.promise.then(() => over.abort(new RemoteRefusedError("SESSION_UNKNOWN")));
  session.done = before
    .then(() => run(state, session, ecu))
    .catch((error: unknown) => log.error({ err: error }, "a diagnostic session failed"))
    .finally(() => {
      lease.stop();
      time.stop();
      live.delete(control.session_id);
    });
}

/** From opening to the end. */
async function run(state: State, session: Live, ecu: NetworkEcu): Promise<void> {
  const { clock, log, live, report } = state;
  const { session_id } = session.control;
  const refused = await enter(state, session, ecu);
  if (refused === undefined) {
    const goAway = keepPresent(ecu, clock, log);
    const { reason } = await session.ending.promise;
    await state.beforeEnd(session_id, reason);
    goAway();
    await leave(state, ecu);
  }
  if (state.stopping) return;
  const ending = refused ?? (await session.ending.promise);
  state.known.set(session_id, ending.reason);
  live.delete(session_id);
  // In this order: a restart in between says it again.
  await report(ended(state, session_id, ending));
  await remember(state, session_id, ending.reason);
}

/** @returns why the ECU is not in the session */
async function enter(
  { access, pace, report }: State,
  session: Live,
  ecu: NetworkEcu,
): Promise<Ending | undefined> {
  const { session_id, uds_session } = session.control;
  const { signal } = session.over;
  const request = Uint8Array.of(Sid.diagnosticSessionControl, uds_session);
  try {
    access.admit([ecu.ecu_id], request);
    const answer = await askRemotely(access, ecu, request, { timeoutMs: OPEN_MS, signal });
    const { interlock } = answer;
    const response = toHex(answer.response);
    if (relate(request, answer.response).kind !== "positive") {
      return { reason: "refused", response, ...(interlock && { interlock }) };
    }
    const ts = pace.now().toISOString();
    session.opened = { kind: "session_opened", session_id, response, ts };
    await report(session.opened);
    return undefined;
  } catch (error) {
    // Whether the ECU was asked is not known, so it is left as any other.
    return signal.aborted ? undefined : { reason: "refused", error: failureOf(error) };
  }
}

async function leave({ log }: State, { link, logical_address, ecu_id }: NetworkEcu): Promise<void> {
  const request = Uint8Array.of(Sid.diagnosticSessionControl, DEFAULT_SESSION);
  try {
    await link.request(logical_address, request, { timeoutMs: CLOSE_MS });
  } catch (error) {
    log.warn({ err: error, ecu_id }, "an ECU was left in its session; that ends by itself");
  }
}

async function remember(
  { known, stateFile }: State,
  sessionId: string,
  reason?: SessionEnd,
): Promise<void> {
  known.set(sessionId, reason);
  const past = [...known].filter(([, end]) => end !== undefined);
  for (const [id] of past.slice(0, -MOST_REMEMBERED)) known.delete(id);
  await stateFile.write(
    [...known].map(([session_id, end]) => ({ session_id, ...(end && { reason: end }) })),
  );
}

function ended({ pace }: State, session_id: string, ending: Ending): EndedEvent {
  return { kind: "session_ended", session_id, ...ending, ts: pace.now().toISOString() };
}

function liveOn({ live }: State, ecuId: string): Live[] {
  return [...live.values()].filter(({ control }) => control.ecu_id === ecuId);
}

const isOver = ({ over }: Live) => over.signal.aborted;
const doneOf = ({ done }: Live) => done;
