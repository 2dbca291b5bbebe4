import type { CommandState } from "#protocol/api/command.ts";
import type { Static } from "typebox";
import type { UpdateWithEvents } from "#protocol/api/update.ts";
import type { Vehicle } from "#protocol/api/vehicle.ts";
import { topicOf } from "#protocol/mqtt/topic.ts";
import type { OtaStatus } from "#protocol/mqtt/ota-status.ts";
import type { AgentEvent } from "#vmg-sim/vmg/event.ts";
import { releases } from "./image.ts";
import { size, type Narrator } from "./narrator.ts";
import type { Scenario } from "./scenario-vci.ts";

/** Scenario 2: the operator starts the update; the vehicle reports each step over MQTT. */
export async function runUpdate(scenario: Scenario): Promise<void> {
  const { vin, tell, events, operator } = scenario;
  tell.chapter("Scenario 2: package, installation, status over MQTT");
  const verifiers = new Set<string>();
  const unlisten = events.listen((event) => {
    if (event.type === "partially_verified") verifiers.add(event.by);
    tellProgress(event, tell, vin);
  });
  const started = performance.now();
  const command = await operator.post<CommandState>(`/vehicles/${vin}/commands`, {
    command: "START_OTA_UPDATE",
  });
  tell.step(
    "Operator",
    "Gateway",
    `POST /api/v1/vehicles/${vin}/commands`,
    performance.now() - started,
  );
  tell.wire(`START_OTA_UPDATE, command_id ${command.command_id}`);
  const finished = await events.next("update_finished", undefined, 120_000);
  const verified = await events.next("assignments_verified");
  const answered = await events.next("vci_answered", ({ vci }) => vci.reason === "after_update");
  unlisten();
  tell.step(
    "VMG",
    "Gateway",
    `POST /api/v1/vehicles/${vin}/vci  (after the restart)`,
    answered.duration_ms,
  );
  await checkOutcome(scenario, finished.update_id, answered);
  await checkTrust(scenario, verified, verifiers);
}

function tellProgress(event: AgentEvent, tell: Narrator, vin: string): void {
  switch (event.type) {
    case "command_received":
      tell.step("Gateway", "VMG", `MQTT ${topicOf(vin, "control")}  ${event.command.command}`);
      break;
    case "package_ready":
      tell.step("VMG", "Gateway", "POST /api/v1/ota/package", event.duration_ms);
      tell.wire(
        `${event.offer.package_id}, ${size(event.offer.size)}, zones ${event.offer.zones.map(({ zone_id }) => zone_id).join(", ")}`,
      );
      break;
    case "assignments_verified":
      tellTrust(event, tell);
      break;
    case "partially_verified":
      tell.step(
        "VMG",
        event.by,
        `Uptane metadata over UDS 34 36 37 31, ${size(event.bytes)}; verified by itself`,
        event.duration_ms,
      );
      break;
    case "downloaded":
      tell.step(
        "VMG",
        "Gateway",
        `GET /api/v1/ota/package/…  ${size(event.size)}`,
        event.duration_ms,
      );
      break;
    case "verified":
      tell.step(
        "VMG",
        "VMG",
        `signatures ${event.signatures.join(" + ")}, ${event.files.length} image hashes`,
        event.duration_ms,
      );
      break;
    case "ecu_progress":
      if (event.bytes === undefined || event.bytes === event.length) tellEcu(event, tell);
      break;
    case "status_reported":
      if (isRepeat(event.status)) break;
      tell.wire(
        `MQTT ${topicOf(vin, "ota/status")}  ${event.status.status} ${event.status.progress.toFixed(0)}%`,
      );
      break;
    default:
  }
}

/** Of the many reports of a long step, its first is told and then one at every 10 percent. */
function isRepeat({ status, progress }: OtaStatus): boolean {
  const now = `${status} ${Math.floor(progress / 10)}`;
  const repeats = now === lastTold;
  lastTold = now;
  return repeats;
}
let lastTold = "";

function tellTrust(
  event: Extract<AgentEvent, { type: "assignments_verified" }>,
  tell: Narrator,
): void {
  const { assignments, files, bytes, versions, duration_ms } = event;
  tell.step("VMG", "Gateway", `GET /api/v1/uptane/…  ${files} files, ${size(bytes)}`, duration_ms);
  const told = (repository: "director" | "image") =>
    Object.entries(versions[repository])
      .map(([role, version]) => `${role} ${version}`)
      .join(", ");
  tell.wire("Uptane full verification: ECDSA and ML-DSA for every role of both repositories");
  tell.wire(`director: ${told("director")}`);
  tell.wire(`image repository: ${told("image")}; both name the same ${assignments.length} images`);
}

function tellEcu(
  { ecu_id, step, bytes }: Extract<AgentEvent, { type: "ecu_progress" }>,
  tell: Narrator,
): void {
  const what = {
    flashing: "10 27 31 34 36… into the inactive bank",
    flashed: "31 0202 check memory, 31 0203 activate bank",
    restarted: "11 01 reset: boots the new bank on trial",
    healthy: "31 0205 self test",
    confirmed: "31 0204 confirm bank",
    reverted: "back to the old bank",
  }[step];
  tell.step("VMG", ecu_id, `UDS ${what}${bytes === undefined ? "" : `, ${size(bytes)}`}`);
}

async function checkOutcome(
  { vin, tell, operator }: Scenario,
  updateId: string,
  { answer, vci }: Extract<AgentEvent, { type: "vci_answered" }>,
): Promise<void> {
  const versions = new Map(
    vci.ecus.map(({ ecu_type, software_version }) => [ecu_type, software_version]),
  );
  for (const { ecu_type, version } of releases) {
    tell.check(
      `${ecu_type} runs ${version} (read by UDS 22 F195)`,
      versions.get(ecu_type) === version,
    );
  }
  tell.check("nothing is outdated any more", answer.outdated_ecus.length === 0);
  const update = await settled(operator, updateId);
  tell.check(
    `the gateway counts the update as ${update.status}, by the VCI`,
    update.status === "success",
  );
  tell.check(
    `every step is on record: ${[...new Set(update.events.map(({ status }) => status))].join(", ")}`,
    update.events.length >= 6 && update.vin === vin,
  );
}

async function checkTrust(
  { vin, tell, operator }: Scenario,
  { assignments }: Extract<AgentEvent, { type: "assignments_verified" }>,
  verifiers: ReadonlySet<string>,
): Promise<void> {
  tell.check(
    `what is installed was verified by the VMG and by ${[...verifiers].toSorted().join(", ")} each`,
    assignments.length > 0 && assignments.every(({ ecu_id }) => verifiers.has(ecu_id)),
  );
  const { evidence } = await operator.get<Static<typeof Vehicle>>(`/vehicles/${vin}`);
  tell.check(`the VCI is ${evidence} by the vehicle`, evidence === "signed");
}

/** The last status report and the VCI come by different ways; give both a moment. */
async function settled(
  operator: Scenario["operator"],
  updateId: string,
): Promise<Static<typeof UpdateWithEvents>> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const update = await operator.get<Static<typeof UpdateWithEvents>>(`/updates/${updateId}`);
    if (update.completed_at !== null || Date.now() > deadline) return update;
    await new Promise((again) => setTimeout(again, 100));
  }
}
