import { expect } from "vitest";
import type { PackageAnswer } from "#protocol/api/ota.ts";
import { sampleVci } from "#test/helpers/fleet-data.ts";
import type { TestGateway } from "#test/helpers/gateway.ts";

/** A vehicle that has registered, and runs 1.0.0 everywhere. */
export async function registeredCar(gateway: TestGateway, vin: string) {
  const { send } = await gateway.vehicle(vin);
  const say = (path: string, body: object) => send("POST", `/api/v1${path}`, { body });
  const it = {
    vin,
    get: (path: string, headers: Record<string, string> = {}) => send("GET", path, { headers }),
    register: () => say("/vehicles/register", { vin }),
    /** Shows this version of the brake, on this hardware. */
    show(version: string, hardware_version = "HW-1.0") {
      const { zones, ecus } = sampleVci({ ECU_001: version });
      const changed = ecus.map((ecu) =>
        ecu.ecu_id === "ECU_001" ? { ...ecu, hardware_version } : ecu,
      );
      return say(`/vehicles/${vin}/vci`, { zones, ecus: changed });
    },
    ask: () => say("/ota/package", { vin }),
    async take(): Promise<PackageAnswer> {
      const { status, json } = await it.ask();
      expect(status).toBe(200);
      return json as PackageAnswer;
    },
    ready: async (update_id: string) => {
      const conditions = { parked: true, battery_soc: 90 };
      return (await say("/ota/readiness", { update_id, phase: "install", conditions })).json;
    },
    report(update_id: string, status: string, more: object = {}) {
      const ts = new Date().toISOString();
      return say("/ota/status", { update_id, status, progress: 50, ts, ...more });
    },
    /** Begins to install what it is given. */
    async install(): Promise<string> {
      const { update_id } = await it.take();
      for (const status of ["downloading", "installing"]) await it.report(update_id, status);
      return update_id;
    },
  };
  await it.register();
  await it.show("1.0.0");
  return it;
}

export type Car = Awaited<ReturnType<typeof registeredCar>>;
