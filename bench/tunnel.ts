import { fileURLToPath } from "node:url";
import type { Vci } from "#protocol/api/vci.ts";
import { createUdsLink, type UdsLink } from "#vmg-sim/vmg/uds-link.ts";
import { start } from "./child.ts";
import type { BenchContext, Figure } from "./figure.ts";
import { openFleet } from "./fleet.ts";
import { startGateway, type Gateway } from "./gateway.ts";
import { askByDoip, READ_VIN, roundTripRows, roundTrips, type Side } from "./round-trip.ts";
import { startSimulated } from "./simulated.ts";
import { until } from "./until.ts";
import type { Vehicle, Workspace } from "./workspace.ts";

const TESTER_ADDRESS = 0x0e81;
/** DiagnosticSessionControl. */
const EXTENDED_SESSION = Uint8Array.of(0x10, 0x03);
const DEFAULT_SESSION = Uint8Array.of(0x10, 0x01);

/**
 * Milliseconds that a DoIP tester waits for an ECU far away, through `latticeway tunnel`, beside the
 * same tester at the car's diagnostic connector.
 */
export async function measureTunnel({ workspace, quick, say }: BenchContext): Promise<Figure> {
  const [vehicle] = workspace.vehicles;
  if (vehicle === undefined) throw new Error("the workspace has no vehicles");
  await using gateway = await startGateway(workspace, { name: "gateway-tunnel", anyCore: true });
  await using simulated = await startSimulated(workspace, gateway, [vehicle.vin]);
  await reported(workspace, gateway, vehicle);
  await using tunnel = await startTunnel(workspace, gateway, vehicle);
  const { address } = simulated;
  const connect = (port: number) =>
    createUdsLink({ host: "127.0.0.1", port, testerAddress: TESTER_ADDRESS });
  const [far, near] = [connect(tunnel.port), connect(simulated.edgePort)];
  const side = (link: UdsLink): Side => ({ ask: askByDoip(link, address, READ_VIN) });
  const withinSession = (link: UdsLink): Side => ({
    ...side(link),
    begin: askByDoip(link, address, EXTENDED_SESSION),
    end: askByDoip(link, address, DEFAULT_SESSION),
  });
  await until("the vehicle's subscription", () =>
    side(far)
      .ask()
      .catch(() => undefined),
  );

  const effort = { rounds: quick ? 2 : 7, count: quick ? 30 : 150, say };
  const plain = await roundTrips(effort, { tunnel: side(far), direct: side(near) });
  say("  in an extended session:");
  const session = await roundTrips(effort, {
    tunnel: withinSession(far),
    direct: withinSession(near),
  });
  far.close();
  near.close();
  const atConnector = "DoIP at the car";
  return {
    title: "Diagnostic tunnel",
    notes: [
      "UDS 22 F190 to one ECU of the simulated vehicle, one after the other, by a DoIP tester on an open connection with routing activated. Through `latticeway tunnel`, a process of its own on the tester's machine: DoIP to the tunnel, HTTPS to the gateway, which checks, records and stores the request (embedded database), MQTT to the VMG, DoIP to the zonal gateway and the ECU, and back. At the car: the same tester at the diagnostic connector of the same vehicle.",
      "In a session (10 03): the tunnel keeps the ECU locked for its operator at the gateway and answers tester present (3E) itself; what is measured is 22 F190 again.",
    ],
    rows: [
      ...roundTripRows("UDS answer", plain.tunnel, { name: atConnector, times: plain.direct }),
      ...roundTripRows("in an extended session", session.tunnel, {
        name: atConnector,
        times: session.direct,
      }),
    ],
  };
}

/** Resolves when the vehicle has told the addresses of its ECUs. */
async function reported(workspace: Workspace, gateway: Gateway, { vin }: Vehicle): Promise<void> {
  const fleet = openFleet(gateway, workspace);
  await until("the vehicle's VCI", async () => {
    const page = fleet.operator<{ items: Vci[] }>("GET", `/vehicles/${vin}/vci?limit=1`);
    const { items } = await page.catch(() => ({ items: [] }));
    return items[0];
  });
  await fleet.close();
}

async function startTunnel(workspace: Workspace, gateway: Gateway, { vin }: Vehicle) {
  const program = fileURLToPath(new URL("../cli/latticeway.js", import.meta.url));
  const options = ["--vin", vin, "--listen", "127.0.0.1:0", "--quiet"];
  const child = start([process.execPath, program, "tunnel", ...options], {
    env: {
      PATH: process.env["PATH"],
      LATTICEWAY_URL: `https://127.0.0.1:${gateway.port}`,
      LATTICEWAY_TOKEN: gateway.token,
      LATTICEWAY_CA: workspace.serverRoot,
    },
  });
  const port = await until("the tunnel", () => {
    if (child.hasEnded()) throw new Error(`the tunnel did not start:\n${child.output()}`);
    return /DoIP, TCP (\d+)/.exec(child.output())?.[1];
  });
  return { port: Number(port), [Symbol.asyncDispose]: () => child.stop() };
}
