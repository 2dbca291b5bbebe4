import { join } from "node:path";
import { Type, type Static } from "typebox";
import type { VciAnswer } from "#protocol/api/ota.ts";
import type { OtaStatus } from "#protocol/mqtt/ota-status.ts";
import { discardDownload } from "./download.ts";
import { GatewayError } from "./gateway-client.ts";
import { insist } from "./insist.ts";
import { softwareVersions } from "./inventory.ts";
import { backoffMs } from "./pace.ts";
import type { Held } from "./readiness.ts";
import { rollBackEcu } from "./rollback.ts";
import { serially, stateFile, type StateFile } from "./state-file.ts";
import { packageFile, runUpdate, type UpdateRunDeps } from "./update-run.ts";
import { updateSession, type UpdateSession } from "./update-session.ts";
import { isOver, startUpdate, touchesEcus, UpdateRecord } from "./update-state.ts";
import { rolledBack, summary, unchanged, waiting, type UpdateSummary } from "./update-summary.ts";
import type { VciReporter } from "./vci-reporter.ts";
import { waitingUpdate, type WaitingUpdate } from "./waiting-update.ts";

export interface UpdaterDeps extends UpdateRunDeps {
  reporter: VciReporter;
  /** Folder for what survives a restart. */
  folder: string;
  /** Aborted when the VMG stops. */
  signal: AbortSignal;
  /** Hands a status to the outbox. */
  send: (status: OtaStatus) => Promise<void>;
}

const LastUpdate = Type.Object({ record: UpdateRecord, finished_at: Type.String() });
export type LastUpdate = Static<typeof LastUpdate>;

export interface UpdateOptions {
  /** Why the VCI before it is sent. */
  reason: string;
  command_id?: string;
  /** Only these ECUs; all that are outdated by default. */
  ecu_ids?: readonly string[];
}

/** `ota_rollback` came, but no ECU runs what an update installed. */
export class RollbackNothingError extends Error {
  readonly code = "ROLLBACK_NOTHING";

  constructor() {
    super("no ECU runs what the last update installed");
    this.name = "RollbackNothingError";
  }
}

/** Everything that concerns versions: one thing at a time, in the order it was asked for. */
export interface Updater {
  /** `idle`, the phase of the update under way, or `deferred` when it waits. */
  readonly state: string;
  readonly record: UpdateRecord | undefined;
  readonly last: LastUpdate | undefined;
  /** Is the ECU verifying, being written, restarted or checked? */
  isBusy(ecuId: string): boolean;
  /** Does other work in the same order. */
  inTurn<Result>(work: () => Promise<Result>): Promise<Result>;
  /**
   * Checks for updates and installs what there is, stepping through intermediate versions. One that
   * may not go on yet is taken up by itself, at the latest with the next of these.
   */
  update(options: UpdateOptions, signal: AbortSignal): Promise<UpdateSummary>;
  /** What the update that waits comes to. @throws the signal's reason */
  ended(signal: AbortSignal): Promise<UpdateSummary>;
  /** Takes up the update that a restart interrupted, if there was one. */
  resume(signal: AbortSignal): Promise<void>;
  /** Takes the ECUs of the last update back. @throws RollbackNothingError, RollbackError */
  rollBack(ecuIds: readonly string[] | undefined, signal: AbortSignal): Promise<UpdateSummary>;
}

/** A chain of intermediate versions that is longer than this goes on with the next check. */
const MAX_STEPS = 8;
/** How often, and how fast, a silent ECU is asked for its version after a restart. */
const VERSION_TRIES = 5;
const VERSION_BACKOFF = { backoff_ms: 500, max_backoff_ms: 8000 };

interface UpdaterState extends UpdaterDeps {
  file: StateFile<UpdateRecord>;
  lastFile: StateFile<LastUpdate>;
  last: LastUpdate | undefined;
  session: UpdateSession | undefined;
  waiting: WaitingUpdate;
  inTurn: Updater["inTurn"];
  /** ECUs that a command takes back. */
  rollingBack: readonly string[];
}

/** Opens what an earlier run left in the folder; `resume` takes it up. @throws StateFileError */
export async function createUpdater(deps: UpdaterDeps): Promise<Updater> {
  const lastFile = stateFile(join(deps.folder, "last-update.json"), LastUpdate);
  const state: UpdaterState = {
    ...deps,
    file: stateFile(join(deps.folder, "update.json"), UpdateRecord),
    lastFile,
    last: await lastFile.read(),
    session: undefined,
    waiting: waitingUpdate(deps),
    inTurn: serially(),
    rollingBack: [],
  };
  const { inTurn } = state;
  if (state.last) state.reporter.noteAttacks(attacksOn(state.last.record));
  return {
    get state() {
      if (state.session) return state.session.record.phase;
      if (state.rollingBack.length > 0) return "rolling_back";
      return state.waiting.isWaiting ? "deferred" : "idle";
    },
    get record() {
      return state.session?.record;
    },
    get last() {
      return state.last;
    },
    isBusy: (ecuId) => isBusy(state, ecuId),
    inTurn,
    update: (options, signal) => inTurn(() => update(state, options, signal)),
    ended: (signal) => state.waiting.ended(signal),
    resume: (signal) => inTurn(() => resume(state, signal)),
    rollBack: (ecuIds, signal) => inTurn(() => rollBack(state, ecuIds, signal)),
  };
}

function isBusy({ rollingBack, session }: UpdaterState, ecuId: string): boolean {
  if (rollingBack.includes(ecuId)) return true;
  if (!session) return false;
  const { phase } = session.record;
  // While backing up, ECUs verify in their programming session.
  if (!touchesEcus(phase) && phase !== "backing_up") return false;
  return session.record.ecus.some(({ ecu_id }) => ecu_id === ecuId);
}

async function update(
  state: UpdaterState,
  options: UpdateOptions,
  signal: AbortSignal,
): Promise<UpdateSummary> {
  const { command_id, reason } = options;
  const { reporter, last } = state;
  if (command_id !== undefined && last?.record.command_id === command_id) {
    return summary(last.record);
  }
  const answer = await reporter.submit(reason, signal);
  return installAll(state, options, { answer }, signal);
}

/** Goes on with what the gateway offers, or with an update that was begun, as far as it may. */
async function installAll(
  state: UpdaterState,
  options: UpdateOptions,
  begun: { answer?: VciAnswer | undefined; session?: UpdateSession },
  signal: AbortSignal,
): Promise<UpdateSummary> {
  const { reporter, waiting: kept } = state;
  const before = reporter.versions;
  let { answer, session } = begun;
  let done: UpdateRecord | undefined;
  const wait = (held: Held) => {
    kept.wait(held, () => state.inTurn(() => goOn(state, options)));
    return waiting(reporter.versions);
  };
  for (let step = 0; step < MAX_STEPS; step++) {
    if (!session && answer) {
      const next = await nextSession(state, options, answer, signal);
      if (next && "held" in next) return wait(next.held);
      session = next?.session;
    }
    if (!session) break;
    kept.taken();
    const concluded = await conclude(state, session, signal);
    if (concluded.held) return wait(concluded.held);
    ({ answer } = concluded);
    done = session.record;
    session = undefined;
    if (done.phase !== "completed") break;
  }
  // What waits is something else, and goes on waiting.
  if (!done && kept.isWaiting) return unchanged(reporter.versions);
  const result = done ? summary(done, before) : unchanged(reporter.versions);
  kept.end(result);
  return result;
}

/** Asks once more for what had to wait. */
async function goOn(state: UpdaterState, options: UpdateOptions): Promise<void> {
  const { signal } = state;
  const record = await state.file.read();
  if (!record) return void (await update(state, options, signal));
  await installAll(state, options, { session: updateSession(state, record) }, signal);
}

/** What to install next; undefined when there is nothing, or it waits for a command. */
async function nextSession(
  state: UpdaterState,
  options: UpdateOptions,
  { outdated_ecus, policy }: VciAnswer,
  signal: AbortSignal,
): Promise<{ session: UpdateSession } | { held: Held } | undefined> {
  const { client, pace, onEvent } = state;
  const { ecu_ids, command_id } = options;
  if (!outdated_ecus.some(({ ecu_id }) => ecu_ids?.includes(ecu_id) ?? true)) return undefined;
  const kept = await state.file.read();
  const command = command_id ?? kept?.command_id;
  if (policy?.mode === "manual" && command === undefined) return undefined;
  const started = pace.now().getTime();
  try {
    const offer = await client.requestPackage({ ecu_ids, command_id: command }, signal);
    onEvent({ type: "package_ready", offer, duration_ms: pace.now().getTime() - started });
    const isSame = kept?.update_id === offer.update_id;
    if (kept && kept.package_id !== offer.package_id) {
      await discardDownload(packageFile(state.downloads, kept.package_id));
    }
    const record =
      isSame && command !== undefined ? { ...kept, command_id: command } : isSame && kept;
    const session = updateSession(state, record || startUpdate(offer, command));
    await state.file.write(session.record);
    return { session };
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    if (error.code === "PACKAGE_NOTHING_OUTDATED") return undefined;
    const { code, message: detail, retryAfterS: retry_after_s } = error;
    if (retry_after_s === undefined) throw error;
    return { held: { reasons: [{ code, detail, retry_after_s }], retry_after_s } };
  }
}

/**
 * Runs the update to its end, and on to the VCI that the gateway is owed after it; or to where it
 * has to wait.
 * @returns the gateway's answer; none when no ECU was touched
 */
async function conclude(
  state: UpdaterState,
  session: UpdateSession,
  signal: AbortSignal,
): Promise<{ answer?: VciAnswer | undefined; held?: Held }> {
  state.session = session;
  try {
    const held = await runUpdate(state, session, signal);
    if (held) {
      const { update_id } = session.record;
      state.onEvent({ type: "update_deferred", update_id, ...held });
      return { held };
    }
    const { record } = session;
    const isTouched = record.ecus.some(({ step }) => step !== "waiting");
    // The gateway counts an update only by the VCI after it: nothing else goes on before that.
    const answer = isTouched
      ? await insist("the VCI after an update", state, signal, () =>
          state.reporter.submit("after_update", signal),
        )
      : undefined;
    await keepLast(state, { record, finished_at: state.pace.now().toISOString() });
    await state.file.remove();
    await discardDownload(packageFile(state.downloads, record.package_id));
    const { update_id, phase, error } = record;
    if (isTouched) state.scan(update_id, "after_update");
    state.onEvent({ type: "update_finished", update_id, outcome: phase, ...(error && { error }) });
    return { answer };
  } finally {
    state.session = undefined;
  }
}

async function keepLast(state: UpdaterState, last: LastUpdate): Promise<void> {
  await state.lastFile.write(last);
  state.last = last;
  state.reporter.noteAttacks(attacksOn(last.record));
}

/** What was refused in an update, by ECU id. */
function attacksOn({ ecus, error }: UpdateRecord): Map<string, string> {
  const isRefusal = error?.code.startsWith("UPTANE_") === true;
  return new Map(isRefusal ? ecus.map(({ ecu_id }) => [ecu_id, error.code]) : []);
}

async function resume(state: UpdaterState, signal: AbortSignal): Promise<void> {
  const record = await state.file.read();
  if (!record) return;
  const session = updateSession(state, record);
  state.session = session;
  state.onEvent({ type: "update_resumed", update_id: record.update_id, phase: record.phase });
  if (touchesEcus(record.phase)) {
    const versions = await versionsOf(state, record, signal);
    await session.apply({ type: "resumed", versions });
  }
  const { phase, deferral } = session.record;
  if (!isOver(phase) && !deferral) await session.report({ message: "the VMG was restarted" });
  const { held } = await conclude(state, session, signal);
  const { command_id } = record;
  const options = { reason: "deferred", ...(command_id !== undefined && { command_id }) };
  if (held) state.waiting.wait(held, () => state.inTurn(() => goOn(state, options)));
}

/** The versions that the ECUs of an update run now; one that stays silent is left out. */
async function versionsOf(
  { network, pace }: UpdaterState,
  record: UpdateRecord,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const ids = new Set(record.ecus.map(({ ecu_id }) => ecu_id));
  const ecus = network.ecus.filter(({ ecu_id }) => ids.has(ecu_id));
  for (let attempt = 0; ; attempt++) {
    const found = await softwareVersions(ecus, signal);
    if (found.size === ecus.length || attempt >= VERSION_TRIES) return found;
    await pace.wait(backoffMs(attempt, VERSION_BACKOFF, pace.random), signal);
  }
}

async function rollBack(
  state: UpdaterState,
  ecuIds: readonly string[] | undefined,
  signal: AbortSignal,
): Promise<UpdateSummary> {
  const { last, reporter } = state;
  const chosen = (last?.record.ecus ?? []).filter(
    ({ step, ecu_id }) => step === "confirmed" && (ecuIds?.includes(ecu_id) ?? true),
  );
  if (!last || chosen.length === 0) throw new RollbackNothingError();
  const ecus = chosen.map(({ ecu_id }) => ecu_id);
  await state.release(ecus);
  state.rollingBack = ecus;
  try {
    // Of what has begun in between.
    await state.release(ecus);
    for (const { ecu_id, from_version, to_version } of chosen) {
      await rollBackEcu(state, ecu_id, from_version, to_version, signal);
    }
    const reverted = last.record.ecus.map((ecu) =>
      chosen.includes(ecu) ? { ...ecu, step: "reverted" as const } : ecu,
    );
    await keepLast(state, { ...last, record: { ...last.record, ecus: reverted } });
  } finally {
    state.rollingBack = [];
  }
  await reporter.submit("after_rollback", signal);
  return rolledBack(chosen);
}
