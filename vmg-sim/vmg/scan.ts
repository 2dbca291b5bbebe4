import type { Logger } from "pino";
import { toHex } from "#protocol/bytes/hex.ts";
import type { Clock } from "#protocol/doip/clock.ts";
import type { DiagnosticEvent, ScannedEcu } from "#protocol/mqtt/diagnostic-event.ts";
import { relate } from "#protocol/uds/response.ts";
import { Sid } from "#protocol/uds/service.ts";
import type { DiagnosticSessions } from "./diagnostic-sessions.ts";
import { failureOf } from "./failure.ts";
import type { Pace } from "./pace.ts";
import { askRemotely, RemoteRefusedError, type RemoteAccess } from "./remote-access.ts";
import { startTimer } from "./timer.ts";
import type { NetworkEcu, VehicleNetwork } from "./vehicle-network.ts";

export interface ScannerDeps {
  network: VehicleNetwork;
  access: RemoteAccess;
  sessions: Pick<DiagnosticSessions, "admit">;
  /** Identification to read of every ECU. */
  scan_dids: readonly number[];
  /** May this ECU not be disturbed, because an update is writing it? */
  isBusy: (ecuId: string) => boolean;
  clock: Clock;
  pace: Pace;
  log: Logger;
  /** Puts an event where it can't be lost. */
  report: (event: DiagnosticEvent) => Promise<void>;
}

type ScanEvent = Extract<DiagnosticEvent, { kind: "scan" }>;
/** What it is for: who asked, or which update. */
export type ScanOccasion = Pick<ScanEvent, "scan_id" | "update_id" | "phase">;

/** Reads identification and trouble codes of the whole vehicle. */
export interface Scanner {
  /** Begins; the result is reported. One that is under way already is not begun again. */
  scan(occasion: ScanOccasion): void;
  /** Resolves when none is under way; cuts short what takes longer than that. */
  settle(withinMs: number): Promise<void>;
  stop(): Promise<void>;
}

interface Running {
  cutShort: AbortController;
  done: Promise<void>;
}

const ASK_MS = 5_000;
const ALL_DTCS = Uint8Array.of(Sid.readDtcInformation, 0x02, 0xff);
/** The gateway closes the connection of who sends it more than 256 KiB. */
const MAX_EVENT_CHARS = 200_000;

export function createScanner(deps: ScannerDeps): Scanner {
  const { clock, log } = deps;
  const running = new Map<string, Running>();
  let stopping = false;

  async function run(occasion: ScanOccasion, signal: AbortSignal): Promise<void> {
    // What somebody far away asks for is held to what holds for all that they ask.
    const isRemote = occasion.scan_id !== undefined;
    const ecus = await scanVehicle(deps, signal, isRemote);
    if (stopping) return;
    const ts = deps.pace.now().toISOString();
    await deps.report({ kind: "scan", ...occasion, ecus: bounded(ecus), ts });
  }

  return {
    scan(occasion) {
      const name = JSON.stringify(occasion);
      if (stopping || running.has(name)) return;
      const cutShort = new AbortController();
      const done = run(occasion, cutShort.signal)
        .catch((error: unknown) => log.error({ err: error }, "a scan of the vehicle failed"))
        .finally(() => running.delete(name));
      running.set(name, { cutShort, done });
    },
    async settle(withinMs) {
      const all = [...running.values()];
      const timer = startTimer(clock, () => {
        for (const { cutShort } of all) cutShort.abort(new RemoteRefusedError("CANCELLED"));
      });
      if (all.length > 0) timer.in(withinMs);
      await Promise.all(all.map(({ done }) => done));
      timer.stop();
    },
    async stop() {
      stopping = true;
      for (const { cutShort } of running.values()) {
        cutShort.abort(new RemoteRefusedError("CANCELLED"));
      }
      await Promise.all([...running.values()].map(({ done }) => done));
    },
  };
}

/** Side by side over the zonal gateways, one ECU after the other in each. */
async function scanVehicle(
  deps: ScannerDeps,
  signal: AbortSignal,
  isRemote: boolean,
): Promise<ScannedEcu[]> {
  const zones = Map.groupBy(deps.network.ecus, ({ zone_id }) => zone_id);
  const scanned = await Promise.all(
    [...zones.values()].map(async (ecus) => {
      const answers: ScannedEcu[] = [];
      for (const ecu of ecus) answers.push(await scanEcu(deps, ecu, signal, isRemote));
      return answers;
    }),
  );
  return scanned.flat();
}

/** As far as the ECU answers. */
async function scanEcu(
  { access, sessions, scan_dids, isBusy }: ScannerDeps,
  ecu: NetworkEcu,
  signal: AbortSignal,
  isRemote: boolean,
): Promise<ScannedEcu> {
  const { link, logical_address, ecu_id } = ecu;
  const scanned: ScannedEcu = { ecu_id, dids: {} };
  /** Undefined for a negative answer: not every ECU knows everything. */
  const ask = async (request: Uint8Array) => {
    signal.throwIfAborted();
    if (isBusy(ecu_id))
      throw new RemoteRefusedError("VEHICLE_BUSY", "an update is being installed");
    const options = { signal, timeoutMs: ASK_MS };
    const beforeSend = () => sessions.admit([ecu_id], undefined);
    const response = isRemote
      ? (await askRemotely(access, ecu, request, { ...options, beforeSend })).response
      : await link.request(logical_address, request, options);
    return relate(request, response).kind === "positive" ? response : undefined;
  };
  try {
    for (const did of scan_dids) {
      const request = Uint8Array.of(Sid.readDataByIdentifier, did >> 8, did & 0xff);
      const response = await ask(request);
      if (response) scanned.dids[toHex(request.subarray(1))] = toHex(response.subarray(3));
    }
    const dtcs = await ask(ALL_DTCS);
    if (dtcs) scanned.dtcs = toHex(dtcs);
  } catch (error) {
    scanned.error = failureOf(error);
  }
  return scanned;
}

/** An ECU that says more than a message holds is named, and why it is empty. */
function bounded(ecus: readonly ScannedEcu[]): ScannedEcu[] {
  let left = MAX_EVENT_CHARS;
  return ecus.map((ecu) => {
    const size = JSON.stringify(ecu).length;
    if (size <= left) {
      left -= size;
      return ecu;
    }
    const error = { code: "SCAN_TOO_LARGE", message: `${size} characters do not fit in` };
    return { ecu_id: ecu.ecu_id, dids: {}, error };
  });
}
