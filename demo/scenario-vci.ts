import type { Firmware } from "#protocol/api/firmware.ts";
import type { EventLog } from "./event-log.ts";
import { makeImage, releases } from "./image.ts";
import { size, type Narrator } from "./narrator.ts";
import type { Operator } from "./operator.ts";

export interface Scenario {
  vin: string;
  tell: Narrator;
  events: EventLog;
  operator: Operator;
  folder: string;
  /** A real image for ECU_001 instead of a made one. */
  firmwareFile: string | undefined;
}

/** The operator publishes firmware for three of the vehicle's four ECUs. */
export async function publishFirmware({
  tell,
  operator,
  folder,
  firmwareFile,
}: Scenario): Promise<void> {
  tell.chapter("Before: the operator publishes firmware");
  for (const [index, release] of releases.entries()) {
    const file =
      index === 0 && firmwareFile !== undefined
        ? firmwareFile
        : await makeImage(folder, release.ecu_type);
    const started = performance.now();
    const firmware = await operator.upload<Firmware>(file, {
      ...release,
      hardware_versions: "HW-1.0",
      channel: "stable",
    });
    tell.step(
      "Operator",
      "Gateway",
      `POST /api/v1/firmware  ${release.ecu_type} ${release.version}`,
      performance.now() - started,
    );
    tell.wire(
      `${size(firmware.size)} → ${size(firmware.compressed_size)} zstd, sha256 ${firmware.sha256.slice(0, 16)}…`,
    );
  }
}

/** Scenario 1: the vehicle submits its VCI and learns which ECUs are outdated. */
export async function submitVci({ vin, tell, events }: Scenario): Promise<void> {
  tell.chapter("Scenario 1: VCI and update check");
  for (const via of ["mqtt", "https"] as const) {
    const { negotiated } = await events.next("connected", (event) => event.via === via);
    const { protocol, cipher, group, peerKeyType, profile } = negotiated;
    tell.step("VMG", "Gateway", `${via.toUpperCase()}: ${protocol}, mutual authentication`);
    tell.wire(
      `group ${group}, certificate ${peerKeyType}, ${cipher}, profile ${profile?.id} (${profile?.name})`,
    );
    tell.check(`hybrid post-quantum key exchange (${group})`, group === "X25519MLKEM768");
  }
  const registered = await events.next("registered");
  tell.step("VMG", "Gateway", "POST /api/v1/vehicles/register", registered.duration_ms);
  const collected = await events.next("vci_collected");
  tell.step(
    "VMG",
    "ECUs",
    `UDS 22 F190 F195 F18C F191 F197 … over DoIP, ${collected.vci.ecus.length} ECUs`,
    collected.duration_ms,
  );
  for (const ecu of collected.vci.ecus) {
    tell.wire(
      `${ecu.zone_id}/${ecu.ecu_id}  ${ecu.ecu_type} ${ecu.software_version}, ${ecu.hardware_version}, serial ${ecu.serial_number}`,
    );
  }
  const answered = await events.next("vci_answered");
  const { outdated_ecus, blocked } = answered.answer;
  tell.step("VMG", "Gateway", `POST /api/v1/vehicles/${vin}/vci`, answered.duration_ms);
  for (const ecu of outdated_ecus) {
    tell.wire(
      `outdated: ${ecu.ecu_id} ${ecu.current_version} → ${ecu.target_version}, ${size(ecu.size)}${ecu.critical ? ", critical" : ""}`,
    );
  }
  for (const { ecu_id, reason, detail } of blocked)
    tell.wire(`blocked: ${ecu_id} ${reason} (${detail})`);
  tell.check("three outdated ECUs found", outdated_ecus.length === releases.length);
}
