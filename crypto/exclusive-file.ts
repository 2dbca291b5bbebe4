import { randomUUID } from "node:crypto";
import { link, mkdir, open, readFile, unlink } from "node:fs/promises";
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
  const folder = dirname(file);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const temporary = join(folder, `.${basename(file)}.${randomUUID()}.tmp`);
  const handle = await open(temporary, "wx", mode);
  try {
    // The umask may have taken bits away from what `open` was asked for.
    await handle.chmod(mode);
    await handle.writeFile(content);
    await handle.sync();
    await link(temporary, file);
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  } finally {
    await handle.close();
    await unlink(temporary);
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
