import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publish } from "#test/helpers/fleet-data.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { systemPace } from "#vmg-sim/vmg/pace.ts";
import {
  attacker,
  downloads,
  flash,
  packageOf,
  retarget,
  update,
  vehicleBehind,
} from "./attacked-vehicle.ts";
import type { TamperingGateway } from "./tampering-gateway.ts";
import type { TestVehicle } from "./test-vehicle.ts";

const TYPE = "brake-controller";
const VERSION = "1.2.3";
const HOUR = 3_600_000;

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway();
  await publish(gateway.admin, { ecu_type: TYPE, version: VERSION, image: randomBytes(300_000) });
});
afterAll(() => gateway.close());

/** A clock of the whole vehicle, VMG and ECUs. */
function clock() {
  const clocked = { ahead_h: 0, pace: { ...systemPace, now: () => time(clocked.ahead_h) } };
  return clocked;
}

const time = (hours: number) => new Date(Date.now() + hours * HOUR);
const seconds = (date: Date) => date.toISOString().replace(/\.\d+Z/, "Z");

/** The director assigns for a day. */
function forADay(tampering: TamperingGateway): void {
  tampering.attack = {
    before: ({ director }) => (director.targets.expires = seconds(time(24))),
  };
}

/** The director assigns again, for long. */
function again({ repositories: { director } }: TamperingGateway): void {
  director.targets.expires = seconds(time(240));
  director.publishAll();
}

const authorizations = ({ events }: TestVehicle) =>
  events.filter(({ type }) => type === "assignments_verified").length;

describe("a vehicle that installs long after it was told to", () => {
  it.each([
    ["after the director's metadata have ended", 25, 2],
    ["when they are about to end", 23.5, 2],
    ["while they hold", 20, 1],
  ])("verifies anew what it needs to, %s", async (_, hours, verifications) => {
    const vin = `LATE-${hours}`;
    const tampering = await attacker(gateway, vin);
    const later = clock();
    const vehicle = await vehicleBehind(tampering, vin, testFolder(), later.pace);
    await vehicle.agent.started;
    forADay(tampering);
    tampering.answer = (path) => {
      if (path.includes("/ota/package/")) {
        later.ahead_h = hours;
        again(tampering);
      }
      return false;
    };
    expect(await update(vehicle)).toMatchObject({ status: "completed" });
    expect(vehicle.versions()["ECU_001"]).toBe(VERSION);
    expect(authorizations(vehicle)).toBe(verifications);
    expect(downloads(tampering)).toHaveLength(1);
  });

  it.each<[string, string, (tampering: TamperingGateway) => void]>([
    [
      "UPTANE_PACKAGE_MISMATCH",
      "another file of the package",
      ({ repositories }) =>
        retarget((file) => (packageOf(file)["sha256"] = "0".repeat(64)))(repositories),
    ],
    [
      "UPTANE_PACKAGE_MISMATCH",
      "another image under the path",
      ({ repositories }) => {
        retarget((file) => (file.hashes["sha512"] = "0".repeat(128)), true)(repositories);
        repositories.image.publishAll();
      },
    ],
    [
      "UPTANE_DIRECTOR_EMPTY",
      "nothing",
      ({ repositories }) => (repositories.director.targets.targets = {}),
    ],
  ])("refuses with %s when it is assigned %s by then", async (code, what, change) => {
    const vin = `LATE-${what.length}`;
    const tampering = await attacker(gateway, vin);
    const later = clock();
    const vehicle = await vehicleBehind(tampering, vin, testFolder(), later.pace);
    await vehicle.agent.started;
    const before = flash(vehicle);
    forADay(tampering);
    tampering.answer = (path) => {
      if (path.includes("/ota/package/")) {
        later.ahead_h = 25;
        change(tampering);
        again(tampering);
      }
      return false;
    };
    const { status, error } = await update(vehicle);
    expect([status, error?.code]).toEqual(["failed", code]);
    expect(flash(vehicle)).toEqual(before);
  });

  it("verifies anew when it was parked in the middle of the installation", async () => {
    const { vin, tampering, stateDir } = await parkedWhileFlashing("PARKED-1");
    const later = clock();
    later.ahead_h = 25;
    again(tampering);
    const woken = await vehicleBehind(tampering, vin, stateDir, later.pace);
    const { phase } = await woken.event("update_resumed");
    expect(phase).toBe("installing");
    const { outcome } = await woken.event("update_finished");
    expect(outcome).toBe("completed");
    expect(authorizations(woken)).toBe(1);
    expect(woken.versions()["ECU_001"]).toBe(VERSION);
  });

  it("takes nothing back for want of a gateway, as long as it may still install", async () => {
    const { vin, tampering, stateDir } = await parkedWhileFlashing("PARKED-2");
    const later = clock();
    later.ahead_h = 23.5;
    tampering.answer = (path, response) => {
      if (!path.includes("/uptane/")) return false;
      response.writeHead(503).end();
      return true;
    };
    const woken = await vehicleBehind(tampering, vin, stateDir, later.pace);
    const { outcome } = await woken.event("update_finished");
    expect(outcome).toBe("completed");
    expect(authorizations(woken)).toBe(0);
  });
});

/** A vehicle that was switched off while its ECU was being written. */
async function parkedWhileFlashing(vin: string) {
  const tampering = await attacker(gateway, vin);
  const stateDir = testFolder();
  const vehicle = await vehicleBehind(tampering, vin, stateDir);
  await vehicle.agent.started;
  forADay(tampering);
  const power = new AbortController();
  const cut = vehicle.agent.updater.update({ reason: "test" }, power.signal);
  await vehicle.event("ecu_progress", ({ step }) => step === "flashing");
  power.abort(new Error("switched off"));
  await expect(cut).rejects.toThrow("switched off");
  await vehicle.stop();
  return { vin, tampering, stateDir };
}
