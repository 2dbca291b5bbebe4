import { join } from "node:path";
import type { Logger } from "pino";
import { Compile } from "typebox/compile";
import type { Clock } from "#protocol/doip/clock.ts";
import { DiagnosticControl } from "#protocol/mqtt/diagnostic-control.ts";
import type { DiagnosticEvent } from "#protocol/mqtt/diagnostic-event.ts";
import type { DiagnosticResponse } from "#protocol/mqtt/diagnostics.ts";
import { openDiagnosticMemory } from "./diagnostic-memory.ts";
import { openDiagnosticScripts, type DiagnosticScripts } from "./diagnostic-scripts.ts";
import { openDiagnosticSessions } from "./diagnostic-sessions.ts";
import { createDiagnostics } from "./diagnostics.ts";
import type { AgentEvent } from "./event.ts";
import type { InterlockRules } from "./interlocks.ts";
import type { Pace } from "./pace.ts";
import { remoteAccess } from "./remote-access.ts";
import { createScanner, type ScanOccasion } from "./scan.ts";
import type { VehicleConditions } from "./vehicle-conditions.ts";
import type { VehicleNetwork } from "./vehicle-network.ts";

export interface RemoteDiagnosticsDeps {
  network: VehicleNetwork;
  conditions: VehicleConditions;
  interlocks: InterlockRules;
  scan_dids: readonly number[];
  scan_around_updates: boolean;
  /** For what survives a restart. */
  folder: string;
  clock: Clock;
  pace: Pace;
  log: Logger;
  /** May this ECU not be disturbed, because an update is writing it? */
  isBusy: (ecuId: string) => boolean;
  verifiesUpdates: boolean;
  /** `durable`: the response must reach the gateway even after a restart. */
  respond: (response: DiagnosticResponse, durable: boolean) => void;
  /** Puts an event where it can't be lost. */
  report: (event: DiagnosticEvent) => Promise<void>;
  /** Sends an event after those before it; resolves when the gateway has it. */
  deliver: (event: DiagnosticEvent) => Promise<void>;
  onEvent: (event: AgentEvent) => void;
}

/** The vehicle's side of remote diagnostics, as far as messages go. */
export interface RemoteDiagnostics {
  /** Takes a message of `diagnostics`; resolves when a restart would know of it. */
  handleRequest(payload: unknown): Promise<void>;
  /** The same for `diagnostics/control`. */
  handleControl(payload: unknown): Promise<void>;
  /** Scans the vehicle around an update, where that is wanted. */
  scanAround(update_id: string, phase: NonNullable<ScanOccasion["phase"]>): void;
  /** Ends what is going on with ECUs that an update is about to touch. */
  release(ecuIds: readonly string[]): Promise<void>;
  /** Reports what a restart has ended. */
  resume(): Promise<void>;
  stop(): Promise<void>;
}

/** An update waits no longer for a scan: it lasts no longer than this where all ECUs answer. */
const SCAN_GRACE_MS = 2_000;

const diagnosticControl = Compile(DiagnosticControl);

/** Opens what an earlier run left in the folder. @throws StateFileError */
export async function createRemoteDiagnostics(
  deps: RemoteDiagnosticsDeps,
): Promise<RemoteDiagnostics> {
  const { folder, log } = deps;
  const parts = { ...deps, access: remoteAccess(deps) };
  const sessions = await openDiagnosticSessions({
    ...parts,
    file: join(folder, "diagnostic-sessions.json"),
    isInUse: (ecuId) => scripts.isRunningOn(ecuId),
    beforeEnd: (sessionId, reason) => scripts.endSession(sessionId, reason),
  });
  const scripts: DiagnosticScripts = await openDiagnosticScripts({
    ...parts,
    sessions,
    file: join(folder, "diagnostic-scripts.json"),
  });
  const memory = await openDiagnosticMemory(join(folder, "diagnostics.json"));
  const scanner = createScanner({ ...parts, sessions });
  const requests = createDiagnostics({ ...parts, sessions, memory });

  return {
    handleRequest: (payload) => requests.handle(payload),
    async handleControl(payload) {
      if (!diagnosticControl.Check(payload)) {
        const [error] = diagnosticControl.Errors(payload);
        const reason = `${error?.instancePath ?? ""} ${error?.message ?? ""}`.trim();
        log.warn({ reason }, "a diagnostic control message does not fit its schema");
        return;
      }
      switch (payload.kind) {
        case "open_session":
          return sessions.open(payload);
        case "renew_session":
          return sessions.renew(payload.session_id, payload.lease_ms);
        case "close_session":
          return sessions.close(payload.session_id);
        case "cancel_request":
          return requests.cancel(payload.request_id);
        case "revoke":
          requests.revoke(payload.reason);
          scripts.revoke(payload.reason);
          return void sessions.end("revoked");
        case "run_script":
          return scripts.run(payload);
        case "cancel_script":
          return scripts.cancel(payload.script_id);
        case "proof":
          return scripts.prove(payload);
        default:
          return scanner.scan({ scan_id: payload.scan_id });
      }
    },
    scanAround(update_id, phase) {
      if (deps.scan_around_updates) scanner.scan({ update_id, phase });
    },
    async release(ecuIds) {
      await Promise.all([
        scripts.release(ecuIds),
        sessions.end("update_started", ecuIds),
        scanner.settle(SCAN_GRACE_MS),
      ]);
    },
    async resume() {
      await sessions.resume();
      await scripts.resume();
    },
    async stop() {
      await Promise.all([scripts.stop(), sessions.stop(), scanner.stop(), requests.stop()]);
    },
  };
}
