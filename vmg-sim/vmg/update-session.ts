import type { Logger } from "pino";
import type { Deferral } from "#protocol/mqtt/deferral.ts";
import type { OtaStatus } from "#protocol/mqtt/ota-status.ts";
import type { AgentEvent } from "./event.ts";
import type { Pace } from "./pace.ts";
import { overallProgress } from "./progress.ts";
import type { StateFile } from "./state-file.ts";
import { transition, type UpdateEvent, type UpdateRecord } from "./update-state.ts";

/** The agent tried a step that the update's phase does not allow: a mistake of this program. */
export class UpdateStateError extends Error {
  readonly code = "UPDATE_STATE";

  constructor(record: UpdateRecord, event: UpdateEvent) {
    super(`${event.type} does not fit an update that is ${record.phase}`);
    this.name = "UpdateStateError";
  }
}

export interface UpdateSessionDeps {
  file: StateFile<UpdateRecord>;
  pace: Pace;
  log: Logger;
  /** Hands a status to the outbox; resolves when it can't be lost any more. */
  send: (status: OtaStatus) => Promise<void>;
  onEvent: (event: AgentEvent) => void;
}

type Detail = Pick<OtaStatus, "ecu_id" | "bytes_downloaded" | "message">;

/** The running update: its record, kept on disk at each step, and what the gateway hears of it. */
export interface UpdateSession {
  readonly record: UpdateRecord;
  /**
   * Moves the record on and keeps it; a change of phase is reported.
   * @throws UpdateStateError
   */
  apply(event: UpdateEvent, detail?: Detail): Promise<void>;
  /** Tells the gateway where the update is. */
  report(detail?: Detail): Promise<void>;
  /** Notes that the update has to wait, and tells the gateway unless it knows why. */
  defer(reasons: Deferral[]): Promise<void>;
  /** Notes that it may go on, and tells the gateway of its phase unless it knows that. */
  ready(): Promise<void>;
  /** Notes how much of the current phase is done, 0 to 1; reported every few percent. */
  progress(done: number, detail?: Detail): void;
}

/** Percent of the whole update between two reports of the same phase. */
const REPORT_EVERY = 4;

export function updateSession(deps: UpdateSessionDeps, begun: UpdateRecord): UpdateSession {
  let record = begun;
  let reported = begun.progress;
  /** The status that the gateway heard of last. */
  let told: OtaStatus["status"] | undefined = begun.deferral && "deferred";

  async function report(detail: Detail = {}, at: UpdateRecord = record): Promise<void> {
    const { update_id, phase, progress, error, deferral: reasons } = at;
    reported = Math.max(reported, progress);
    told = reasons ? "deferred" : phase;
    const status: OtaStatus = {
      update_id,
      status: told,
      progress,
      ...(reasons && { reasons, message: messageOf(reasons) }),
      ...detail,
      ...(error && { error }),
      ts: deps.pace.now().toISOString(),
    };
    await deps.send(status);
    deps.onEvent({ type: "status_reported", status });
  }

  async function apply(event: UpdateEvent, detail?: Detail): Promise<void> {
    const next = transition(record, event);
    if (!next) throw new UpdateStateError(record, event);
    const moved = next.phase !== record.phase;
    const atStart = moved ? overallProgress(next.phase, 0) : undefined;
    record = { ...next, progress: Math.max(next.progress, atStart ?? 0) };
    await deps.file.write(record);
    if (moved) await report(detail);
  }

  return {
    get record() {
      return record;
    },
    apply,
    report: (detail) => report(detail),
    async defer(reasons) {
      const known = told === "deferred" && isSame(record.deferral ?? [], reasons);
      await apply({ type: "deferred", reasons });
      if (!known) await report();
    },
    async ready() {
      if (record.deferral) await apply({ type: "ready" });
      if (told !== record.phase) await report();
    },
    progress(done, detail) {
      const progress = overallProgress(record.phase, done);
      if (progress === undefined || progress < reported + REPORT_EVERY) return;
      // Taken at once: zones that work side by side must not report the same step twice.
      reported = progress;
      const kept = apply({ type: "progressed", progress });
      const at = record;
      const told = kept.then(() => report(detail, at));
      // A storage that fails here fails the next step of the update, too.
      told.catch((error: unknown) => deps.log.debug({ err: error }, "progress was not reported"));
    },
  };
}

function messageOf(reasons: readonly Deferral[]): string {
  return reasons
    .map(({ code, detail }) => `${code}: ${detail}`)
    .join("; ")
    .slice(0, 1024);
}

/** Are these the same reasons, whatever they say of how far off it is? */
function isSame(a: readonly Deferral[], b: readonly Deferral[]): boolean {
  const codes = (reasons: readonly Deferral[]) => reasons.map(({ code }) => code).join();
  return codes(a) === codes(b);
}
