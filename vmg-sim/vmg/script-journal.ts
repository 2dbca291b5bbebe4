import { Type, type Static } from "typebox";
import { DiagnosticEvent } from "#protocol/mqtt/diagnostic-event.ts";
import { failureOf } from "./failure.ts";
import { ScriptError } from "./script-run.ts";
import { stateFile } from "./state-file.ts";

export type ScriptFinished = Extract<DiagnosticEvent, { kind: "script_finished" }>;

const Persisted = Type.Array(
  Type.Object({
    script_id: Type.String(),
    /** What it came to; absent while it runs. */
    finished: Type.Optional(DiagnosticEvent),
    reported: Type.Boolean(),
  }),
);
type Entry = Static<typeof Persisted>[0];

/** What recent scripts came to, so that none is carried out twice. */
export interface ScriptJournal {
  /** Notes on disk that a script is about to be carried out. */
  begin(scriptId: string): Promise<void>;
  /** Has it been begun, by this run of the VMG or one before? */
  has(scriptId: string): boolean;
  /** What it came to; undefined for one that is not known, or has not finished. */
  find(scriptId: string): ScriptFinished | undefined;
  finish(finished: ScriptFinished): Promise<void>;
  /** The gateway is sure to hear of it. */
  reported(scriptId: string): Promise<void>;
  /** What the gateway is owed; what ran when the VMG was killed has failed. */
  unreported(ts: string): ScriptFinished[];
}

const MOST_REMEMBERED = 64;

/** @throws StateFileError */
export async function openScriptJournal(path: string): Promise<ScriptJournal> {
  const file = stateFile(path, Persisted);
  const entries = new Map<string, Entry>(
    ((await file.read()) ?? []).map((entry) => [entry.script_id, entry]),
  );
  const save = (entry: Entry) => {
    entries.set(entry.script_id, entry);
    const done = [...entries.values()].filter(({ reported }) => reported);
    for (const { script_id } of done.slice(0, -MOST_REMEMBERED)) entries.delete(script_id);
    return file.write([...entries.values()]);
  };
  const finishedOf = (entry: Entry | undefined) =>
    entry?.finished?.kind === "script_finished" ? entry.finished : undefined;
  return {
    begin: (script_id) => save({ script_id, reported: false }),
    has: (scriptId) => entries.has(scriptId),
    find: (scriptId) => finishedOf(entries.get(scriptId)),
    finish: (finished) => save({ script_id: finished.script_id, finished, reported: false }),
    async reported(scriptId) {
      const entry = entries.get(scriptId);
      if (entry) await save({ ...entry, reported: true });
    },
    unreported: (ts) =>
      [...entries.values()]
        .filter(({ reported }) => !reported)
        .map((entry) => finishedOf(entry) ?? interrupted(entry.script_id, ts)),
  };
}

/** How many steps there were, only the gateway knows. */
function interrupted(script_id: string, ts: string): ScriptFinished {
  const error = failureOf(new ScriptError("SCRIPT_INTERRUPTED"));
  const nothing = { steps: 0, answers: {} };
  return { kind: "script_finished", script_id, outcome: "failed", ...nothing, error, ts };
}
