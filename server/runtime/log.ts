import pino, { type Logger } from "pino";
import pretty from "pino-pretty";
import type { ServerConfig } from "#config/server.ts";
import { maskSecrets } from "./secrets.ts";

export type Log = Logger;

/** A line waits for others for no longer; a process that is killed loses no more of its log. */
const FLUSH_MS = 100;
const FLUSH_BYTES = 4096;

/** A logger to standard output: JSON lines, or text on a terminal. */
export function createLog({ level, format }: ServerConfig["log"]): Log {
  const options = { level, formatters: { log: maskSecrets } };
  const text = format === "text" || (format === "auto" && process.stdout.isTTY);
  if (!text) {
    // One write for several lines: a write for each costs as much as the rest of a line.
    const buffered = { dest: 1, sync: false, minLength: FLUSH_BYTES, periodicFlush: FLUSH_MS };
    return pino(options, pino.destination(buffered));
  }
  const stream = pretty({
    colorize: process.stdout.isTTY,
    translateTime: "SYS:yyyy-mm-dd HH:MM:ss",
    messageFormat: "{msg}",
    ignore: "pid,hostname",
    singleLine: true,
    sync: true,
  });
  return pino(options, stream);
}
