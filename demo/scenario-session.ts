import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import type { DiagnosticSession } from "#protocol/api/diagnostic-session.ts";
import type { ScriptRun, ScriptStepResult } from "#protocol/api/diagnostic-script.ts";
import type { DiagnosticResult } from "#protocol/api/diagnostics.ts";
import type { DecodedExchange } from "#protocol/uds/decode.ts";
import type { VehicleConditions } from "#vmg-sim/vmg/vehicle-conditions.ts";
import type { Scenario } from "./scenario-vci.ts";

const ECU = "ECU_001";
/** Unlocks (27), runs the self test (31) and reads all trouble codes (19). */
const script = {
  steps: [
    { unlock: 3 },
    { request: "31 01 02 05", expect: "71 01 02 05" },
    { request: "19 02 FF", as: "dtcs" },
  ],
  cleanup: [{ request: "10 01" }],
};

/** Scenario 4: an ECU kept for one operator, a script in the vehicle, and what comes of it all. */
export async function runSession(
  scenario: Scenario,
  conditions: VehicleConditions,
  commandEnvironment: NodeJS.ProcessEnv,
): Promise<void> {
  scenario.tell.chapter("Scenario 4: a diagnostic session, and the audit log");
  await repair(scenario);
  await driveAway(scenario, conditions);
  await verifyAudit(scenario, commandEnvironment);
}

async function repair({ vin, tell, operator }: Scenario): Promise<void> {
  let started = performance.now();
  const took = () => performance.now() - started;
  const session = await operator.post<DiagnosticSession>("/diagnostics/sessions", {
    vin,
    ecu_id: ECU,
    uds_session: "03",
    max_s: 60,
    reason: "brakes squeal",
  });
  const { session_id } = session;
  tell.step("Operator", ECU, `POST /api/v1/diagnostics/sessions  extended session (10 03)`, took());
  tell.wire(`1003 → ${session.response_data}; nobody else reaches ${ECU} until it is closed`);

  started = performance.now();
  const { script_id, ...run } = await operator.post<ScriptRun>("/diagnostics/scripts", {
    ...{ vin, ecu_id: ECU, session_id, script },
    wait_ms: 20_000,
  });
  tell.step("Operator", "VMG", "POST /api/v1/diagnostics/scripts  27 → 31 → 19", took());
  const path = `/diagnostics/scripts/${script_id}/steps`;
  const { items } = await operator.get<{ items: ScriptStepResult[] }>(path);
  for (const { request_data, response_data, decoded } of items) {
    const { service, sub_function } = (decoded ?? {}) as Partial<DecodedExchange>;
    const what = [service?.name, sub_function?.name].filter(Boolean).join(", ");
    tell.wire(`${request_data} → ${response_data}  ${what}`);
  }
  tell.wire("The key for 27 came from the gateway meanwhile; seed and key are kept nowhere.");
  const dtcs = (run.answers["dtcs"]?.decoded as DecodedExchange | undefined)?.dtcs ?? [];
  tell.check(
    `the vehicle has carried the script out by itself: ${dtcs.length} trouble codes`,
    session.status === "open" && run.status === "completed" && dtcs.length > 0,
  );
  const closed = await operator.delete<DiagnosticSession>(`/diagnostics/sessions/${session_id}`);
  tell.step("Operator", ECU, `DELETE /api/v1/diagnostics/sessions/…  ${closed.end_reason}`);
}

async function driveAway(
  { vin, tell, operator }: Scenario,
  conditions: VehicleConditions,
): Promise<void> {
  const parked = conditions.current;
  conditions.set({ speed_kmh: 62, gear: "D" });
  const reset = await operator.post<DiagnosticResult>("/diagnostics/send", {
    ...{ vin, ecu_id: ECU, service_id: "0x11", data: "01" },
    wait_ms: 20_000,
  });
  conditions.set(parked);
  tell.step("Operator", ECU, "POST /api/v1/diagnostics/send  0x11 01  (reset, at 62 km/h)");
  const [response] = reset.responses;
  const nrc = (response?.decoded as DecodedExchange | undefined)?.nrc;
  tell.wire(`${response?.response_data}  ${nrc?.name}: ${nrc?.meaning} ${nrc?.try}`);
  tell.check(
    `the VMG refuses while the car drives (interlock ${reset.interlock})`,
    reset.status === "negative_response" && reset.interlock === "stationary",
  );
}

/** By the command that an auditor has, in a process of its own. */
async function verifyAudit({ tell }: Scenario, env: NodeJS.ProcessEnv): Promise<void> {
  const started = performance.now();
  const command = join(import.meta.dirname, "../cli/latticeway.js");
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [command, "audit", "verify"],
    // Its failure, too, is told by what it prints.
    { env: { ...process.env, ...env } },
  ).catch((error: { stderr?: string }) => ({ stdout: error.stderr ?? "" }));
  const [verdict = ""] = stdout.split("\n");
  const took = performance.now() - started;
  tell.step("Operator", "Gateway", "latticeway audit verify", took);
  tell.check(`who asked what, and what was answered: ${verdict}`, verdict.includes("holds"));
}
