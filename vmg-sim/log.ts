import pino, { type Logger } from "pino";
import pretty from "pino-pretty";
import type { VehicleConfig } from "#config/vehicle.ts";

/** The vehicles' logger: JSON lines, or short text lines that begin with the vehicle. */
export function vehicleLog({ level, format }: VehicleConfig["log"]): Logger {
  const isText = format === "text" || (format === "auto" && process.stdout.isTTY);
  if (!isText) return pino({ level });
  const lines = { messageFormat: "{vehicle} {msg}", ignore: "pid,hostname,vehicle" };
  return pino({ level }, pretty({ ...lines, translateTime: "SYS:HH:MM:ss", singleLine: true }));
}
