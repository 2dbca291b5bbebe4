import { statfs } from "node:fs/promises";
import type { Logger } from "pino";
import type { ReadinessPhase, ReadinessRequest } from "#protocol/api/readiness.ts";
import type { Deferral } from "#protocol/mqtt/deferral.ts";
import { GatewayError, type GatewayClient } from "./gateway-client.ts";
import { insist } from "./insist.ts";
import type { Pace } from "./pace.ts";
import type { UpdateRecord } from "./update-state.ts";
import type { VehicleConditions } from "./vehicle-conditions.ts";

/** The gateway has ended an update before it touched an ECU: its `code` is the reason's. */
export class UpdateRefusedError extends Error {
  readonly code: string;

  constructor({ code, detail }: Deferral) {
    super(detail);
    this.name = "UpdateRefusedError";
    this.code = code;
  }
}

/** Why an update waits, and for how long before it is asked for again. */
export interface Held {
  reasons: Deferral[];
  retry_after_s: number;
}

export interface ReadinessDeps {
  client: Pick<GatewayClient, "askReadiness">;
  conditions: VehicleConditions;
  /** Folder for packages. */
  downloads: string;
  /** Volts between which the supply is fit for it. */
  supply: { voltage_min: number; voltage_max: number };
  pace: Pace;
  log: Logger;
}

/**
 * Whether an update may go on to download, or to install: by the gateway, and by what the vehicle
 * itself demands, whatever the gateway says. A gateway that is out of reach is asked until it is
 * there.
 * @returns undefined when it may
 * @throws UpdateRefusedError when waiting does not help, GatewayError, the signal's reason
 */
export async function holdingBack(
  deps: ReadinessDeps,
  { update_id, command_id, size }: UpdateRecord,
  phase: ReadinessPhase,
  signal: AbortSignal,
): Promise<Held | undefined> {
  const { speed_kmh, gear, battery_soc, update_consent } = deps.conditions.current;
  const free_storage_bytes = await freeStorage(deps.downloads, deps.conditions);
  const parked = gear === "P" && speed_kmh === 0;
  const conditions = { battery_soc, free_storage_bytes, parked, consent: update_consent };
  const answer = await asked(deps, { update_id, phase, conditions, command_id }, signal);
  const final = answer.reasons.find(({ retry_after_s }) => retry_after_s === undefined);
  if (!answer.ready && final) throw new UpdateRefusedError(final);
  // As it is by now.
  const own = phase === "install" ? unsafe(deps) : tooLarge(size, free_storage_bytes);
  const known = new Set(answer.reasons.map(({ code }) => code));
  const reasons = [...answer.reasons, ...own.filter(({ code }) => !known.has(code))];
  if (answer.ready && own.length === 0) return undefined;
  return { reasons, retry_after_s: Math.max(answer.retry_after_s ?? 0, own.length && AGAIN_S) };
}

/** Room for packages, in bytes. @param folder on the storage that they are downloaded to */
export async function freeStorage(folder: string, conditions: VehicleConditions): Promise<number> {
  const { free_storage_bytes: said } = conditions.current;
  if (said !== null) return said;
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** What the vehicle looks at itself is looked at again after so long. */
const AGAIN_S = 60;

function asked(
  deps: ReadinessDeps,
  {
    command_id,
    ...request
  }: Omit<ReadinessRequest, "command_id"> & {
    command_id: string | undefined;
  },
  signal: AbortSignal,
) {
  const { client } = deps;
  const whole = { ...request, ...(command_id !== undefined && { command_id }) };
  const once = async () => {
    try {
      return { answer: await client.askReadiness(whole, signal) };
    } catch (error) {
      if (error instanceof GatewayError && error.temporary) throw error;
      return { error };
    }
  };
  return insist("asking whether the update may go on", deps, signal, once).then((outcome) => {
    if ("error" in outcome) throw outcome.error;
    return outcome.answer;
  });
}

/** Nothing is written into a car that moves, or whose supply may fail meanwhile. */
function unsafe({ conditions, supply }: ReadinessDeps): Deferral[] {
  const { speed_kmh, gear, voltage } = conditions.current;
  const reasons: Deferral[] = [];
  if (gear !== "P" || speed_kmh > 0) {
    const detail = `in ${gear} at ${Math.round(speed_kmh)} km/h`;
    reasons.push({ code: "NOT_PARKED", detail, retry_after_s: AGAIN_S });
  }
  if (voltage < supply.voltage_min || voltage > supply.voltage_max) {
    reasons.push({ code: "VOLTAGE_UNFIT", detail: `${voltage} V`, retry_after_s: AGAIN_S });
  }
  return reasons;
}

function tooLarge(size: number, free: number): Deferral[] {
  if (free >= size) return [];
  const detail = `${free} of ${size} bytes`;
  return [{ code: "STORAGE_LOW", detail, retry_after_s: AGAIN_S }];
}
