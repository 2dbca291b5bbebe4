import { join } from "node:path";
import { Type, type Static } from "typebox";
import type { PackageAnswer, VciAnswer } from "#protocol/api/ota.ts";
import type { OtaStatus } from "#protocol/mqtt/ota-status.ts";
import { discardDownload } from "./download.ts";
import { GatewayError } from "./gateway-client.ts";
import { insist } from "./insist.ts";
import { softwareVersions } from "./inventory.ts";
import { backoffMs } from "./pace.ts";
import { rollBackEcu } from "./rollback.ts";
import { serially, stateFile, type StateFile } from "./state-file.ts";
import { packageFile, runUpdate, type UpdateRunDeps } from "./update-run.ts";
import { updateSession, type UpdateSession } from "./update-session.ts";
import { isOver, startUpdate, touchesEcus, UpdateRecord } from "./update-state.ts";
import { rolledBack, summary, unchanged, type UpdateSummary } from "./update-summary.ts";
import type { VciReporter } from "./vci-reporter.ts";

export interface UpdaterDeps extends UpdateRunDeps {
  reporter: VciReporter;
  /** Folder for what survives a restart. */
  folder: string;
  /** Begins to look at the whole vehicle, for who wants to know what an update changed. */
  scan: (updateId: string, phase: "before_update" | "after_update") => void;
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
  /** `idle`, or the phase of the update under way. */
  readonly state: string;
  readonly record: UpdateRecord | undefined;
  readonly last: LastUpdate | undefined;
  /** Is the ECU verifying, being written, restarted or checked? */
  isBusy(ecuId: string): boolean;
  /** Does other work in the same order. */
  inTurn<Result>(work: () => Promise<Result>): Promise<Result>;
  /** Checks for updates and installs what there is, stepping through intermediate versions. */
  update(options: UpdateOptions, signal: AbortSignal): Promise<UpdateSummary>;
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
    rollingBack: [],
  };
  const inTurn = serially();
  if (state.last) state.reporter.noteAttacks(attacksOn(state.last.record));
  return {
    get state() {
      return (
        state.session?.record.phase ?? (state.rollingBack.length > 0 ? "rolling_back" : "idle")
      );
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
  let answer: VciAnswer | undefined = await reporter.submit(reason, signal);
  const before = reporter.versions;
  let done: UpdateRecord | undefined;
  for (let step = 0; answer && step < MAX_STEPS; step++) {
    const offer = await offerFor(state, options.ecu_ids, answer, signal);
    if (!offer) break;
    const session = updateSession(state, startUpdate(offer, command_id));
    await state.file.write(session.record);
    await session.report();
    answer = await conclude(state, session, signal);
    done = session.record;
    if (done.phase !== "completed") break;
  }
  return done ? summary(done, before) : unchanged(reporter.versions);
}

/** Undefined when there is nothing to install. */
async function offerFor(
  { client, pace, onEvent }: UpdaterState,
  ecuIds: readonly string[] | undefined,
  { outdated_ecus }: VciAnswer,
  signal: AbortSignal,
): Promise<PackageAnswer | undefined> {
  if (!outdated_ecus.some(({ ecu_id }) => ecuIds?.includes(ecu_id) ?? true)) return undefined;
  const started = pace.now().getTime();
  try {
    const offer = await client.requestPackage(ecuIds, signal);
    onEvent({ type: "package_ready", offer, duration_ms: pace.now().getTime() - started });
    return offer;
  } catch (error) {
    if (error instanceof GatewayError && error.code === "PACKAGE_NOTHING_OUTDATED")
      return undefined;
    throw error;
  }
}

/**
 * Runs the update to its end, and on to the VCI that the gateway is owed after it.
 * @returns the gateway's answer; undefined when no ECU was touched
 */
async function conclude(
  state: UpdaterState,
  session: UpdateSession,
  signal: AbortSignal,
): Promise<VciAnswer | undefined> {
  state.session = session;
  // During the download: the installation need not wait for it.
  if (session.record.phase === "downloading") state.scan(session.record.update_id, "before_update");
  try {
    await runUpdate(state, session, signal);
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
    return answer;
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
  if (!isOver(session.record.phase)) await session.report({ message: "the VMG was restarted" });
  await conclude(state, session, signal);
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
