import type { AgentEvent } from "#vmg-sim/vmg/event.ts";

/** One line on what the VMG did; undefined for what happens too often to be told. */
export function describeEvent(event: AgentEvent): string | undefined {
  switch (event.type) {
    case "connected": {
      const { group, profile, cipher } = event.negotiated;
      const name = profile ? `profile ${profile.id} (${profile.name})` : "no profile";
      return `${event.via.toUpperCase()} connected: ${group}, ${cipher}, ${name}`;
    }
    case "disconnected":
      return "MQTT is offline";
    case "registered":
      return `registered in ${event.duration_ms} ms`;
    case "vci_collected":
      return `VCI collected from ${event.vci.ecus.length} ECUs in ${event.duration_ms} ms`;
    case "vci_answered": {
      const outdated = event.answer.outdated_ecus.map(
        (ecu) => `${ecu.ecu_id} ${ecu.current_version} → ${ecu.target_version}`,
      );
      return `VCI accepted; outdated: ${outdated.join(", ") || "nothing"}`;
    }
    case "package_ready":
      return `package ${event.offer.package_id}, ${event.offer.size} bytes`;
    case "update_resumed":
      return `update ${event.update_id} goes on: ${event.phase}`;
    case "update_deferred":
      return `the update waits: ${event.reasons.map(({ code }) => code).join(", ")}`;
    case "downloaded":
      return `downloaded ${event.received} bytes in ${event.duration_ms} ms`;
    case "verified":
      return `package verified (${event.signatures.join(" and ")}, ${event.files.length} images)`;
    case "assignments_verified": {
      const { assignments, files, bytes, duration_ms, fetch_ms } = event;
      const spent = `${duration_ms - fetch_ms} ms without the network`;
      return `Uptane: both repositories verified, ${assignments.length} images assigned (${files} files, ${bytes} bytes, ${spent})`;
    }
    case "partially_verified":
      return `Uptane: ${event.by} has verified the director by itself (${event.bytes} bytes, ${event.duration_ms} ms)`;
    case "status_reported":
      return `update: ${event.status.status} ${event.status.progress} %`;
    case "update_finished":
      return `the update is over: ${event.outcome}${event.error ? ` (${event.error.message})` : ""}`;
    case "diagnostic_handled": {
      const { request, response } = event;
      const outcome = response.error?.code ?? response.response_data ?? "answered";
      return `diagnostic ${request.service_id} ${request.data} to ${request.ecu_id ?? request.zone_id}: ${outcome}`;
    }
    case "command_handled":
      return `command ${event.command.command}: ${event.response.status}`;
    case "certificate_renewed":
      return `certificate ${event.serial} until ${event.not_after}`;
    case "config_applied":
      return `remote configuration ${event.revision} applied`;
    case "ecu_progress":
      return event.step === "flashing" ? undefined : `${event.ecu_id} ${event.step}`;
    default:
      return undefined;
  }
}
