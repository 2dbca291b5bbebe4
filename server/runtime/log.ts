import pino, { type Logger } from "pino";
import pretty from "pino-pretty";
import type { ServerConfig } from "#config/server.ts";

export type Log = Logger;

/** Fields that may carry a secret are never written, wherever they turn up. */
const redact = [
  "token",
  "*.token",
  "authorization",
  "*.authorization",
  "headers.authorization",
  "password",
  "*.password",
];

/** A logger to standard output: JSON lines, or text on a terminal. */
export function createLog({ level, format }: ServerConfig["log"]): Log {
  const text = format === "text" || (format === "auto" && process.stdout.isTTY);
  if (!text) return pino({ level, redact });
  const stream = pretty({
    colorize: process.stdout.isTTY,
    translateTime: "SYS:yyyy-mm-dd HH:MM:ss",
    messageFormat: "{msg}",
    ignore: "pid,hostname",
    singleLine: true,
    sync: true,
  });
  return pino({ level, redact }, stream);
}
