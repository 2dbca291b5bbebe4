import { createUdsLink } from "#vmg-sim/vmg/uds-link.ts";
import { askThroughGateway } from "./asking.ts";
import type { BenchContext, Figure } from "./figure.ts";
import { openFleet } from "./fleet.ts";
import { startGateway } from "./gateway.ts";
import { askByDoip, READ_VIN, roundTripRows, roundTrips } from "./round-trip.ts";
import { startSimulated } from "./simulated.ts";
import { until } from "./until.ts";

/** The VMG has the usual address of an external tester already. */
const TESTER_ADDRESS = 0x0e81;

/**
 * Milliseconds from an operator's request to its readable result, beside the same UDS request sent
 * to the simulated vehicle by DoIP.
 */
export async function measureDiagnostics({ workspace, quick, say }: BenchContext): Promise<Figure> {
  const [vehicle] = workspace.vehicles;
  if (vehicle === undefined) throw new Error("the workspace has no vehicles");
  await using gateway = await startGateway(workspace, {
    name: "gateway-diagnostics",
    anyCore: true,
  });
  await using simulated = await startSimulated(workspace, gateway, [vehicle.vin]);
  const fleet = openFleet(gateway, workspace);
  const link = createUdsLink({
    host: "127.0.0.1",
    port: simulated.zonePort,
    testerAddress: TESTER_ADDRESS,
  });
  const [ecu_id = ""] = simulated.ecuIds;
  const throughGateway = async () => {
    const began = performance.now();
    await askThroughGateway(fleet, { vin: vehicle.vin, ecu_id, service_id: "0x22", data: "F190" });
    return performance.now() - began;
  };
  await until("the vehicle's subscription", () => throughGateway().catch(() => undefined));
  const times = await roundTrips(
    { rounds: quick ? 2 : 7, count: quick ? 30 : 150, say },
    {
      gateway: { ask: throughGateway },
      direct: { ask: askByDoip(link, simulated.address, READ_VIN) },
    },
  );
  link.close();
  await fleet.close();
  return {
    title: "Diagnostic round trip",
    notes: [
      "UDS 22 F190 to one ECU of the simulated vehicle, one after the other. Through the gateway: `POST /diagnostics/send` with `wait_ms` on an open HTTPS connection until the result is read; meanwhile the request is stored (embedded database), sent by MQTT to the VMG, by DoIP to the ECU and back, stored and decoded. Direct: one request on an open DoIP connection to the same ECU.",
    ],
    rows: roundTripRows("UDS answer", times.gateway, {
      name: "DoIP directly",
      times: times.direct,
    }),
  };
}
