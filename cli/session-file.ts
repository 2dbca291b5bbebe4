import { randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import Type, { type Static } from "typebox";
import { Compile } from "typebox/compile";
import { GatewayError } from "./gateway-error.ts";

/** What `latticeway login` keeps. */
export const Session = Type.Object({
  url: Type.String(),
  /** Path of a PEM file. */
  ca: Type.Union([Type.String(), Type.Null()]),
  name: Type.String(),
  session_id: Type.String(),
  access_token: Type.String(),
  expires_at: Type.String(),
  refresh_token: Type.String(),
});
export type Session = Static<typeof Session>;
const session = Compile(Session);

/** Where it is, by the XDG Base Directory Specification. */
export function sessionFile(env: NodeJS.ProcessEnv): string {
  return join(env["XDG_CONFIG_HOME"] || join(homedir(), ".config"), "latticeway", "session.json");
}

/** @returns undefined when nobody is logged in. @throws GatewayError LOGIN_MISSING for a damaged file */
export async function readSession(file: string): Promise<Session | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(file, "utf8"));
    if (session.Check(value)) return value;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new GatewayError("LOGIN_MISSING", `${file} can't be read; log in again`);
}

/** For the user alone, and whole or not at all. */
export async function writeSession(file: string, value: Session): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const written = `${file}.${randomUUID()}`;
  try {
    await using handle = await open(written, "wx", 0o600);
    await handle.writeFile(`${JSON.stringify(value, null, 2)}\n`);
    await handle.sync();
    await rename(written, file);
  } catch (error) {
    await rm(written, { force: true });
    throw error;
  }
}

export async function removeSession(file: string): Promise<void> {
  await rm(file, { force: true });
}

/** Longer than a refresh can take: whoever holds the lock has died. */
const STALE_MS = 90_000;
const TRY_AGAIN_MS = 50;

/**
 * Runs the action while no other command does so. A refresh token is good once: of two commands that
 * show the same one, the second ends the session.
 */
export async function locked<T>(file: string, action: () => Promise<T>): Promise<T> {
  const lock = `${file}.lock`;
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  while (!(await taken(lock))) {
    if (await isStale(lock)) await rm(lock, { force: true });
    else await delay(TRY_AGAIN_MS);
  }
  try {
    return await action();
  } finally {
    await rm(lock, { force: true });
  }
}

async function taken(lock: string): Promise<boolean> {
  try {
    await using handle = await open(lock, "wx", 0o600);
    await handle.writeFile(String(process.pid));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

async function isStale(lock: string): Promise<boolean> {
  try {
    return Date.now() - (await stat(lock)).mtimeMs > STALE_MS;
  } catch {
    return false;
  }
}
