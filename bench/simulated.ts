import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadVehicleConfig } from "#config/vehicle.ts";
import { start } from "./child.ts";
import type { Gateway } from "./gateway.ts";
import { until } from "./until.ts";
import type { Workspace } from "./workspace.ts";

/** Simulated vehicles in a process of their own, and where the first one is to be reached. */
export interface Simulated extends AsyncDisposable {
  /** Of each vehicle. */
  ecuIds: readonly string[];
  /** Logical address of the first ECU. */
  address: number;
  /** TCP port of the zonal gateway that it is behind. */
  zonePort: number;
  /** TCP port of the diagnostic connector. */
  edgePort: number;
}

/**
 * Starts `npm run sim` with ports of its own; the vehicles install nothing.
 * @param vins one, or PREFIX-0001, PREFIX-0002, …
 */
export async function startSimulated(
  workspace: Workspace,
  gateway: Gateway,
  vins: readonly string[],
): Promise<Simulated> {
  const { zones } = loadVehicleConfig({});
  const [zone] = zones;
  const [ecu] = zone?.ecus ?? [];
  const [first = ""] = vins;
  if (zone === undefined || ecu === undefined) throw new Error("config/vehicle.yaml has no ECU");
  const child = start(
    [
      process.execPath,
      "vmg-sim/main.ts",
      `--count=${vins.length}`,
      `--vin=${vins.length === 1 ? first : first.replace(/-0001$/, "")}`,
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
        VMG_LOG_LEVEL: "warn",
        VMG_DOIP_EDGE_PORT: "0",
        VMG_DOIP_EDGE_TLS_PORT: "none",
        VMG_DOIP_EDGE_ANNOUNCE_TO: '""',
      },
    },
  );
  const port = (listening: string) =>
    Number(new RegExp(`^${first}: ${listening}`, "m").exec(child.output())?.[1]);
  await until("the simulated vehicles", () => {
    if (child.hasEnded()) throw new Error(`they did not start:\n${child.output()}`);
    return /^Press Ctrl/m.test(child.output()) || undefined;
  });
  return {
    zonePort: port(`${zone.zone_id} on [^ ]*:(\\d+)`),
    edgePort: port("testers may connect by DoIP, TCP (\\d+)"),
    ecuIds: zones.flatMap(({ ecus }) => ecus.map(({ ecu_id }) => ecu_id)),
    address: ecu.logical_address,
    [Symbol.asyncDispose]: () => child.stop(),
  };
}
