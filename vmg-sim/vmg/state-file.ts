import { randomUUID } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Static, TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { readIfPresent } from "#crypto/exclusive-file.ts";

/** A small piece of state that survives a kill at any point: the old one or the new one, whole. */
export interface StateFile<Value> {
  /** Undefined when there is none. @throws StateFileError for one that can't be used */
  read(): Promise<Value | undefined>;
  /** Resolves when the value is on disk; writes happen in the order of their calls. */
  write(value: Value): Promise<void>;
  remove(): Promise<void>;
}

/** A state file that is not what this program wrote. */
export class StateFileError extends Error {
  readonly code = "STATE_FILE_INVALID";

  constructor(file: string, detail: string) {
    super(`${file}: ${detail}; remove it to start without it`);
    this.name = "StateFileError";
  }
}

export function stateFile<Schema extends TSchema>(
  file: string,
  schema: Schema,
): StateFile<Static<Schema>> {
  const validator = Compile(schema);
  const inOrder = serially();
  return {
    async read() {
      const text = await readIfPresent(file);
      if (text === undefined) return undefined;
      const value = parseJson(file, text);
      if (!validator.Check(value)) {
        const [error] = validator.Errors(value);
        throw new StateFileError(file, `${error?.instancePath ?? ""} ${error?.message ?? ""}`);
      }
      return value;
    },
    write: (value) => inOrder(() => replaceFile(file, JSON.stringify(value))),
    remove: () => inOrder(() => rm(file, { force: true })),
  };
}

/** Runs asynchronous work one after the other, in the order of the calls. */
export function serially(): <Result>(work: () => Promise<Result>) => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const next = last.then(work, work);
    last = next.catch(() => undefined);
    return next;
  };
}

/** Writes a file whole or not at all, whatever happens in between. */
export async function replaceFile(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const temporary = `${file}.${randomUUID()}.tmp`;
  const handle = await open(temporary, "wx", 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
}

function parseJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new StateFileError(file, (error as Error).message);
  }
}
