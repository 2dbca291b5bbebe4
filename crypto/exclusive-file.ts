import { randomUUID } from "node:crypto";
import { link, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/**
 * Writes a file that does not exist yet, whole or not at all, with exactly this mode. Of several
 * processes that try at once, one wins and the others leave its file alone.
 * @returns whether this call made the file.
 */
export async function writeExclusive(
  file: string,
  content: string,
  mode: number,
): Promise<boolean> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const temporary = await writeBeside(file, content, mode);
  try {
    await link(temporary, file);
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  } finally {
    await rm(temporary);
  }
}

/** Writes a file in the place of the one that is there, whole or not at all, with exactly this mode. */
export async function replaceFile(file: string, content: string, mode: number): Promise<void> {
  await rename(await writeBeside(file, content, mode), file);
}

/** @returns a file in the same folder; none is left when it could not be written whole */
async function writeBeside(file: string, content: string, mode: number): Promise<string> {
  const temporary = join(dirname(file), `.${basename(file)}.${randomUUID()}.tmp`);
  try {
    await using handle = await open(temporary, "wx", mode);
    // The umask may have taken bits away from what `open` was asked for.
    await handle.chmod(mode);
    await handle.writeFile(content);
    await handle.sync();
    return temporary;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** The text of a file; undefined when there is none. */
export async function readIfPresent(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
