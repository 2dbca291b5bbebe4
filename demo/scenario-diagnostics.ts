import type { DiagnosticResult } from "#protocol/api/diagnostics.ts";
import { topicOf } from "#protocol/mqtt/topic.ts";
import type { DecodedExchange } from "#protocol/uds/decode.ts";
import type { Scenario } from "./scenario-vci.ts";

/** Scenario 3: remote diagnostics, from the operator through MQTT and DoIP to an ECU and back. */
export async function runDiagnostics(scenario: Scenario): Promise<void> {
  const { tell, vin } = scenario;
  tell.chapter("Scenario 3: remote diagnostics");
  const read = await ask(scenario, "ECU_001", "0x22", "F190", "read the VIN");
  const [decodedVin] = decodedOf(read)?.values ?? [];
  const vinValue = typeof decodedVin?.value === "string" ? decodedVin.value : "";
  tell.check(`the ECU answers with the vehicle's id: ${vinValue}`, vinValue.trim() === vin);

  const faults = await ask(scenario, "ECU_003", "0x19", "02FF", "read stored DTCs");
  const dtcs = decodedOf(faults)?.dtcs ?? [];
  for (const { code, description, status_bits } of dtcs) {
    tell.wire(`DTC ${code}${description ? ` ${description}` : ""}: ${status_bits?.join(", ")}`);
  }
  tell.check("DTCs are decoded", faults.status === "completed");

  const refused = await ask(
    scenario,
    "ECU_001",
    "0x31",
    "01FF00",
    "erase without a programming session",
  );
  const nrc = decodedOf(refused)?.nrc;
  tell.wire(`${nrc?.code} ${nrc?.name}: ${nrc?.meaning} ${nrc?.try}`);
  tell.check(
    "a refusal is explained, and not tried again",
    refused.status === "negative_response" && refused.attempts === 1,
  );

  await askZone(scenario, "ZG-REAR", "0x22", "F195");
}

async function ask(
  { vin, tell, events, operator }: Scenario,
  ecu_id: string,
  service_id: string,
  data: string,
  what: string,
): Promise<DiagnosticResult> {
  const started = performance.now();
  const { request_id } = await operator.post<{ request_id: string }>("/diagnostics/send", {
    vin,
    ecu_id,
    service_id,
    data,
  });
  tell.step(
    "Operator",
    "Gateway",
    `POST /api/v1/diagnostics/send  ${ecu_id} ${service_id} ${data}  (${what})`,
  );
  const result = await operator.get<DiagnosticResult>(
    `/diagnostics/results/${request_id}?wait_ms=20000`,
  );
  const took = performance.now() - started;
  const handled = await events.next(
    "diagnostic_handled",
    ({ request }) => request.request_id === request_id,
  );
  tell.step("Gateway", "VMG", `MQTT ${topicOf(vin, "diagnostics")}`);
  tell.step(
    "VMG",
    ecu_id,
    `DoIP 8001 through the zonal gateway: ${result.request_data}`,
    handled.response.duration_ms,
  );
  const [response] = result.responses;
  tell.step(
    ecu_id,
    "Operator",
    `${response?.response_data ?? result.error?.code}  ${result.status}`,
    took,
  );
  return result;
}

async function askZone(
  { vin, tell, operator }: Scenario,
  zone_id: string,
  service_id: string,
  data: string,
): Promise<void> {
  const started = performance.now();
  const { request_id } = await operator.post<{ request_id: string }>("/diagnostics/broadcast", {
    vin,
    zone_id,
    service_id,
    data,
  });
  const result = await operator.get<DiagnosticResult>(
    `/diagnostics/results/${request_id}?wait_ms=20000`,
  );
  tell.step(
    "Operator",
    zone_id,
    `POST /api/v1/diagnostics/broadcast  ${service_id} ${data}`,
    performance.now() - started,
  );
  for (const { ecu_id, response_data } of result.responses)
    tell.wire(`${ecu_id}  ${response_data}`);
  tell.check(
    "every ECU of the zone answers for itself",
    result.status === "completed" && result.responses.length === 2,
  );
}

function decodedOf(result: DiagnosticResult): DecodedExchange | undefined {
  return result.responses[0]?.decoded as DecodedExchange | undefined;
}
