import type { Negotiated } from "#crypto/negotiated.ts";
import type { CheckAnswer, PackageAnswer, VciAnswer } from "#protocol/api/ota.ts";
import type { Vci } from "#protocol/api/vci.ts";
import type { Vehicle } from "#protocol/api/vehicle.ts";
import type { Command, CommandResponse } from "#protocol/mqtt/control.ts";
import type { DiagnosticRequest, DiagnosticResponse } from "#protocol/mqtt/diagnostics.ts";
import type { Heartbeat } from "#protocol/mqtt/heartbeat.ts";
import type { Deferral } from "#protocol/mqtt/deferral.ts";
import type { OtaStatus } from "#protocol/mqtt/ota-status.ts";
import type { RemoteConfig } from "#protocol/mqtt/remote-config.ts";
import type { Telemetry } from "#protocol/mqtt/telemetry.ts";
import type { Failure } from "./failure.ts";
import type { UpdatePhase } from "./update-state.ts";

/** What the agent does and what goes over the wire, as it happens. */
export type AgentEvent =
  | { type: "connected"; via: "https" | "mqtt"; negotiated: Negotiated }
  | { type: "disconnected"; via: "mqtt" }
  | { type: "registered"; vehicle: Vehicle; duration_ms: number }
  | { type: "vci_collected"; vci: Vci; silent: string[]; duration_ms: number }
  | { type: "vci_answered"; vci: Vci; answer: VciAnswer; duration_ms: number }
  | { type: "checked"; answer: CheckAnswer; duration_ms: number }
  | { type: "package_ready"; offer: PackageAnswer; duration_ms: number }
  | { type: "update_resumed"; update_id: string; phase: UpdatePhase }
  | { type: "update_deferred"; update_id: string; reasons: Deferral[]; retry_after_s: number }
  | { type: "download_progress"; update_id: string; bytes: number; size: number }
  | {
      type: "downloaded";
      update_id: string;
      size: number;
      /** Bytes that came over the wire in this run, and how often it was taken up again. */
      received: number;
      resumes: number;
      duration_ms: number;
    }
  | {
      type: "verified";
      update_id: string;
      /** Signature algorithms that held. */
      signatures: string[];
      files: { ecu_id: string; path: string; bytes: number }[];
      duration_ms: number;
    }
  | {
      /** Full verification has passed. */
      type: "assignments_verified";
      update_id: string;
      /** The image of each ECU, and the role of the image repository that has signed it. */
      assignments: { ecu_id: string; path: string; signed_by: string }[];
      /** Versions of the metadata that is trusted now, by role. */
      versions: Record<"director" | "image", Record<string, number>>;
      files: number;
      bytes: number;
      /** Of `duration_ms`, the time spent waiting for the gateway. */
      fetch_ms: number;
      duration_ms: number;
    }
  /** An ECU or zonal gateway has verified the director's metadata by itself. */
  | { type: "partially_verified"; by: string; bytes: number; duration_ms: number }
  | { type: "ecu_progress"; ecu_id: string; step: EcuProgressStep; bytes?: number; length?: number }
  | { type: "status_reported"; status: OtaStatus }
  | { type: "update_finished"; update_id: string; outcome: UpdatePhase; error?: Failure }
  | {
      type: "diagnostic_handled";
      request: DiagnosticRequest;
      response: DiagnosticResponse;
      /** Whether the answer came from memory. */
      repeated: boolean;
    }
  | { type: "command_received"; command: Command; repeated: boolean }
  | { type: "command_handled"; command: Command; response: CommandResponse }
  | { type: "certificate_renewed"; serial: string; not_after: string }
  | { type: "config_applied"; revision: number; config: RemoteConfig }
  | { type: "telemetry_sent"; sample: Telemetry }
  | { type: "heartbeat_sent"; heartbeat: Heartbeat };

export type EcuProgressStep =
  | "flashing"
  | "flashed"
  | "restarted"
  | "healthy"
  | "confirmed"
  | "reverted";
