import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { loadVehicleConfig } from "#config/vehicle.ts";
import { remoteRig } from "./remote-rig.ts";

const hexOf = (text: string) => Buffer.from(text).toString("hex").toUpperCase();

describe("a scan of the vehicle", () => {
  it("reads identification and trouble codes of every ECU", async () => {
    const { diagnostics, heard } = await remoteRig();
    const scan_id = randomUUID();
    await diagnostics.handleControl({ kind: "scan", scan_id });
    await diagnostics.handleControl({ kind: "scan", scan_id });
    const { ecus, ...rest } = await heard("scan");
    expect(rest).toMatchObject({ scan_id });
    expect(ecus.map(({ ecu_id }) => ecu_id)).toEqual(["ECU_001", "ECU_002", "ECU_003", "ECU_004"]);
    for (const { ecu_id, dids, dtcs, error } of ecus) {
      expect(error).toBeUndefined();
      expect(dids).toMatchObject({ F18C: hexOf(`SN-${ecu_id}`), F195: hexOf("1.0.0") });
      expect(dtcs).toMatch(/^5902/);
    }
  });

  it("tells of ECUs that say nothing, or may not be asked, what it knows", async () => {
    const { diagnostics, heard, busy } = await remoteRig({
      behaviours: { ECU_003: { silent: true } },
    });
    busy.add("ECU_001");
    await diagnostics.handleControl({ kind: "scan", scan_id: randomUUID() });
    const { ecus } = await heard("scan");
    expect(ecus).toMatchObject([
      { ecu_id: "ECU_001", dids: {}, error: { code: "VEHICLE_BUSY" } },
      { ecu_id: "ECU_002", dtcs: expect.any(String) },
      { ecu_id: "ECU_003", dids: {}, error: { code: "UDS_TIMEOUT" } },
      { ecu_id: "ECU_004", dtcs: expect.any(String) },
    ]);
  });

  it("is held to the interlocks and to sessions when it is asked for, not around an update", async () => {
    const { diagnostics, heard, conditions } = await remoteRig({
      requestInterlocks: { "22F195": ["stationary"] },
    });
    const session_id = randomUUID();
    const expires_at = new Date(Date.now() + 600_000).toISOString();
    const opening = { session_id, ecu_id: "ECU_003", uds_session: 3, lease_ms: 60_000, expires_at };
    await diagnostics.handleControl({ kind: "open_session", ...opening });
    await heard("session_opened");
    conditions.set({ speed_kmh: 20 });
    await diagnostics.handleControl({ kind: "scan", scan_id: randomUUID() });
    const { ecus } = await heard("scan");
    expect(ecus[2]).toMatchObject({ dids: {}, error: { code: "ECU_IN_SESSION" } });
    for (const { dids, dtcs } of ecus.filter((ecu) => ecu !== ecus[2])) {
      expect(dids).toHaveProperty("F190");
      expect(dids).not.toHaveProperty("F195");
      expect(dtcs).toMatch(/^5902/);
    }
    diagnostics.scanAround(randomUUID(), "before_update");
    const { ecus: own } = await heard("scan", 2);
    for (const { dids } of own) expect(dids).toHaveProperty("F195");
  });

  it("around an update does not keep its ECUs waiting, and tells what it has so far", async () => {
    const { diagnostics, heard } = await remoteRig({ behaviours: { ECU_001: { slowMs: 60_000 } } });
    const update_id = randomUUID();
    diagnostics.scanAround(update_id, "before_update");
    await diagnostics.release(["ECU_001"]);
    const { ecus, ...rest } = await heard("scan");
    expect(rest).toMatchObject({ update_id, phase: "before_update" });
    expect(ecus[0]).toMatchObject({ ecu_id: "ECU_001", error: { code: "CANCELLED" } });
    expect(ecus[2]?.dids).toHaveProperty("F190");
  });

  it("reads what the standard calls identification, by default", () => {
    const { scan_dids } = loadVehicleConfig({}).diagnostics;
    expect(scan_dids.every((did) => did >= 0xf180 && did <= 0xf19f)).toBe(true);
  });
});
