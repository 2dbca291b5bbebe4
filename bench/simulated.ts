import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadVehicleConfig } from "#config/vehicle.ts";
import { start } from "./child.ts";
import type { Gateway } from "./gateway.ts";
import { until } from "./until.ts";
import type { Vehicle, Workspace } from "./workspace.ts";

/** A simulated vehicle in a process of its own, and where one of its ECUs is to be reached. */
export interface Simulated extends AsyncDisposable {
  ecuId: string;
  /** Logical address of the ECU. */
  address: number;
  /** TCP port of the zonal gateway that it is behind. */
  zonePort: number;
  /** TCP port of the diagnostic connector. */
  edgePort: number;
}

/** Starts `npm run sim` with ports of its own; it installs nothing. */
export async function startSimulated(
  workspace: Workspace,
  gateway: Gateway,
  vehicle: Vehicle,
): Promise<Simulated> {
  const [zone] = loadVehicleConfig({}).zones;
  const [ecu] = zone?.ecus ?? [];
  if (zone === undefined || ecu === undefined) throw new Error("config/vehicle.yaml has no ECU");
  const child = start(
    [
      process.execPath,
      "vmg-sim/main.ts",
      `--vin=${vehicle.vin}`,
      `--gateway=https://127.0.0.1:${gateway.port}`,
      `--mqtt=mqtts://127.0.0.1:${gateway.mqttPort}`,
      `--certs=${workspace.certs}`,
      `--state=${join(workspace.place(`vehicle-${gateway.port}`), "state")}`,
      "--manual",
    ],
    {
      cwd: fileURLToPath(new URL("..", import.meta.url)),
      env: {
        PATH: process.env["PATH"],
        VMG_DOIP_EDGE_PORT: "0",
        VMG_DOIP_EDGE_TLS_PORT: "none",
        VMG_DOIP_EDGE_ANNOUNCE_TO: '""',
      },
    },
  );
  const port = (listening: RegExp) =>
    until("the simulated vehicle", () => {
      if (child.hasEnded()) throw new Error(`the vehicle did not start:\n${child.output()}`);
      return listening.exec(child.output())?.[1];
    });
  return {
    zonePort: Number(await port(new RegExp(`${zone.zone_id} on [^ ]*:(\\d+)`))),
    edgePort: Number(await port(/by DoIP, TCP (\d+)/)),
    ecuId: ecu.ecu_id,
    address: ecu.logical_address,
    [Symbol.asyncDispose]: () => child.stop(),
  };
}
