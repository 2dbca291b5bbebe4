import pino from "pino";
import { Compile } from "typebox/compile";
import { describe, expect, it } from "vitest";
import { checkVci, Vci } from "#protocol/api/vci.ts";
import { collectInventory, softwareVersions } from "#vmg-sim/vmg/inventory.ts";
import { hardwareNetwork } from "./hardware-network.ts";
import { stillPace } from "./still-pace.ts";

const log = pino({ level: "silent" });

describe("inventory", () => {
  it("reads every ECU by UDS into a VCI that the gateway takes", async () => {
    const { network } = await hardwareNetwork("VMG-001");
    const deps = { vin: "VMG-001", network, pace: stillPace(), log };
    const { vci, silent } = await collectInventory(deps, "power_on");
    expect(silent).toEqual([]);
    expect(Compile(Vci).Check(vci)).toBe(true);
    checkVci(vci);
    expect(vci).toMatchObject({
      vin: "VMG-001",
      reason: "power_on",
      zones: [
        { zone_id: "ZG-FRONT", logical_address: 0x1000 },
        { zone_id: "ZG-REAR", logical_address: 0x2000 },
      ],
    });
    expect(vci.ecus[0]).toEqual({
      ecu_id: "ECU_001",
      zone_id: "ZG-FRONT",
      ecu_type: "brake-controller",
      hardware_version: "HW-1.0",
      software_version: "1.0.0",
      serial_number: "SN-ECU_001",
      bootloader_version: "1.0.0",
      supplier: "Lattice Brakes",
      logical_address: 0x1001,
    });
    expect(vci.ecus.map(({ ecu_id }) => ecu_id)).toEqual([
      "ECU_001",
      "ECU_002",
      "ECU_003",
      "ECU_004",
    ]);
  });

  it("leaves out an ECU that stays silent, after asking it again", async () => {
    const { network } = await hardwareNetwork("VMG-001", { ECU_003: { silent: true } });
    const pace = stillPace();
    const deps = { vin: "VMG-001", network, pace, log };
    const { vci, silent } = await collectInventory(deps, "power_on");
    expect(silent).toEqual(["ECU_003"]);
    expect(vci.ecus.map(({ ecu_id }) => ecu_id)).toEqual(["ECU_001", "ECU_002", "ECU_004"]);
    expect(pace.waits).toHaveLength(2);
  });

  it("takes an ECU that is back the next time it is asked", async () => {
    const { network, hardware } = await hardwareNetwork("VMG-001", { ECU_001: { silent: true } });
    const pace = stillPace();
    const ecu = hardware.zones[0]?.ecus.find(({ ecu_id }) => ecu_id === "ECU_001");
    const wait = pace.wait.bind(pace);
    pace.wait = async (ms, signal) => {
      ecu?.setBehaviour({});
      await wait(ms, signal);
    };
    const { silent } = await collectInventory({ vin: "VMG-001", network, pace, log }, "power_on");
    expect(silent).toEqual([]);
    expect(pace.waits).toHaveLength(1);
  });

  it("has nothing to say when no ECU answers", async () => {
    const { network, hardware } = await hardwareNetwork("VMG-001");
    await hardware.stop();
    const deps = { vin: "VMG-001", network, pace: stillPace(), log };
    await expect(collectInventory(deps, "power_on")).rejects.toMatchObject({ code: "VCI_EMPTY" });
    expect(await softwareVersions(network.ecus)).toEqual(new Map());
  });

  it("says which ECU has another vehicle's VIN", async () => {
    const { network } = await hardwareNetwork("VMG-002");
    const lines: string[] = [];
    const noted = pino({ level: "warn" }, { write: (line: string) => void lines.push(line) });
    await collectInventory({ vin: "VMG-001", network, pace: stillPace(), log: noted }, "power_on");
    expect(lines).toHaveLength(4);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ vin: "VMG-002" });
  });
});
