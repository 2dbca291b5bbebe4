import { mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { Type, type Static } from "typebox";
import { Compile } from "typebox/compile";

const Bank = Type.Union([Type.Literal("a"), Type.Literal("b")]);
export type Bank = Static<typeof Bank>;

/**
 * How far a bank has got. Only from `bootable` on may it be tried, only a `proven` one, confirmed
 * by its own run, is gone back to. `version` and `sha256` are what check memory found to be right.
 */
const BankState = Type.Object({
  status: Type.Union([
    Type.Literal("empty"),
    Type.Literal("partial"),
    Type.Literal("written"),
    Type.Literal("verified"),
    Type.Literal("bootable"),
    Type.Literal("proven"),
  ]),
  version: Type.String(),
  length: Type.Integer({ minimum: 0 }),
  sha256: Type.String(),
});
export type BankState = Static<typeof BankState>;

/** What is recorded of a DTC beside its status: counters of one byte, the last freeze frame in hex. */
const DtcRecord = Type.Object({
  occurrences: Type.Integer({ minimum: 0, maximum: 255 }),
  /** Operation cycles with a failure, one after the other. */
  failed_cycles: Type.Integer({ minimum: 0, maximum: 255 }),
  /** Operation cycles without one since. */
  aging: Type.Integer({ minimum: 0, maximum: 255 }),
  snapshot: Type.Optional(Type.String({ pattern: "^([0-9a-f]{2})+$" })),
});
export interface DtcRecord extends Omit<Static<typeof DtcRecord>, "snapshot"> {
  snapshot?: string | undefined;
}

const EcuState = Type.Object({
  format: Type.Literal(1),
  /** The bank that runs when nothing is on trial. */
  active: Bank,
  /** `armed`: the next start tries the other bank. `running`: that start has happened. */
  trial: Type.Union([Type.Literal("none"), Type.Literal("armed"), Type.Literal("running")]),
  banks: Type.Object({ a: BankState, b: BankState }),
  /** Records written by 2E, hex by DID in hex. */
  written: Type.Record(Type.String(), Type.String()),
  /** Status bytes of the DTCs that differ from the configuration. */
  dtc_status: Type.Record(Type.String(), Type.Integer({ minimum: 0, maximum: 255 })),
  /** Absent before the first operation cycle. */
  dtc_records: Type.Optional(Type.Record(Type.String(), DtcRecord)),
  /** Wrong keys since the last right one, by level: the delay they cost survives a reset. */
  wrong_keys: Type.Optional(Type.Record(Type.String(), Type.Integer({ minimum: 0 }))),
  /** What was trusted of the director, and the hash of the root that it began with. */
  trust: Type.Optional(Type.Object({ built_with: Type.String(), state: Type.Unknown() })),
});
export type EcuState = Static<typeof EcuState>;

const validator = Compile(EcuState);

export class EcuStateError extends Error {
  readonly code = "ECU_STATE_CORRUPT";

  constructor(file: string, reason: string) {
    super(`${file}: ${reason}`);
    this.name = "EcuStateError";
  }
}

/** What an ECU remembers without power. */
export interface StateStore {
  readonly current: EcuState;
  /** Replaces the state on disk in one step: after a kill the file holds the old or the new one. */
  save(state: EcuState): Promise<void>;
}

/**
 * Opens the state in `folder`, or begins it with the factory's image in bank A.
 * @throws EcuStateError for a file that is none of ours
 */
export async function openState(folder: string, factoryVersion: string): Promise<StateStore> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, "state.json");
  let current = (await readState(file)) ?? factoryState(factoryVersion);
  return {
    get current() {
      return current;
    },
    async save(state) {
      await replaceFile(file, JSON.stringify(state));
      current = state;
    },
  };
}

async function readState(file: string): Promise<EcuState | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const state = parse(file, text);
  if (!validator.Check(state)) throw new EcuStateError(file, "not the state of an ECU");
  return state;
}

function parse(file: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new EcuStateError(file, (error as Error).message);
  }
}

async function replaceFile(file: string, text: string): Promise<void> {
  const handle = await open(`${file}.tmp`, "w", 0o600);
  try {
    await handle.writeFile(text);
    await handle.datasync();
  } finally {
    await handle.close();
  }
  await rename(`${file}.tmp`, file);
}

function factoryState(version: string): EcuState {
  return {
    format: 1,
    active: "a",
    trial: "none",
    banks: { a: { ...emptyBank, status: "proven", version }, b: emptyBank },
    written: {},
    dtc_status: {},
  };
}

export const emptyBank: BankState = { status: "empty", version: "", length: 0, sha256: "" };
