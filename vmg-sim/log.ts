import pino, { type Logger } from "pino";
import pretty from "pino-pretty";
import type { VehicleConfig } from "#config/vehicle.ts";

/** The vehicles' logger: JSON lines, or short text lines that begin with the vehicle. */
export function vehicleLog({ level, format }: VehicleConfig["log"]): Logger {
  const isText = format === "text" || (format === "auto" && process.stdout.isTTY);
  const settings = { level, serializers: { err: describeError } };
  if (!isText) return pino(settings);
  const lines = { messageFormat: "{vehicle} {msg}", ignore: "pid,hostname,vehicle" };
  return pino(settings, pretty({ ...lines, translateTime: "SYS:HH:MM:ss", singleLine: true }));
}

/** An error with a code was foreseen: its stack would only hide what it says. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const isKnown = "code" in error && typeof error.code === "string";
  return isKnown ? `${String(error.code)}: ${error.message}` : pino.stdSerializers.err(error);
}
