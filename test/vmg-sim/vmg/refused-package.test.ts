import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publish } from "#test/helpers/fleet-data.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import type { UpdateRecord } from "#vmg-sim/vmg/update-state.ts";
import {
  attacker,
  downloads,
  flash,
  packageOf,
  retarget,
  update,
  vehicleBehind,
  type Custom,
} from "./attacked-vehicle.ts";

const TYPE = "brake-controller";
const VERSION = "1.2.3";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway();
  await publish(gateway.admin, { ecu_type: TYPE, version: VERSION, image: randomBytes(300_000) });
});
afterAll(() => gateway.close());

describe("a vehicle behind an attacker", () => {
  it("installs as soon as it hears the truth, and remembers it without power", async () => {
    const own = "TRUST-2";
    const tampering = await attacker(gateway, own);
    const stateDir = testFolder();
    const vehicle = await vehicleBehind(tampering, own, stateDir);
    await vehicle.agent.started;
    tampering.attack = {
      before: retarget((file) => (packageOf(file)["id"] = "pkg-other")),
    };
    expect((await update(vehicle)).error?.code).toBe("UPTANE_PACKAGE_MISMATCH");
    tampering.attack = {};
    expect(downloads(tampering)).toEqual([]);
    expect(await update(vehicle)).toMatchObject({ status: "completed" });
    expect(downloads(tampering)).not.toEqual([]);
    const told = vehicle.events.flatMap((event) =>
      event.type === "vci_collected" ? [event.vci.manifest?.signed.ecus] : [],
    );
    expect(told.map((ecus) => ecus?.["ECU_001"]?.attacks_detected)).toEqual([
      "",
      "",
      "UPTANE_PACKAGE_MISMATCH",
      "UPTANE_PACKAGE_MISMATCH",
    ]);
    expect(told[2]?.["ECU_002"]?.attacks_detected).toBe("");
    expect(vehicle.versions()["ECU_001"]).toBe(VERSION);
    await vehicle.stop();

    await publish(gateway.admin, { ecu_type: TYPE, version: "1.3.0", image: randomBytes(90_000) });
    const again = await vehicleBehind(tampering, own, stateDir);
    await again.agent.started;
    const before = flash(again);
    const { director } = tampering.repositories;
    tampering.attack = {
      before: () => {
        for (const role of [director.timestamp, director.snapshot, director.targets]) {
          role.version = 0;
        }
      },
    };
    expect((await update(again)).error?.code).toBe("UPTANE_TIMESTAMP_ROLLBACK");
    expect(flash(again)).toEqual(before);
  });

  it("takes its ECUs along through new roots, and keeps each root at once", async () => {
    const own = "TRUST-3";
    const tampering = await attacker(gateway, own);
    const stateDir = testFolder();
    const vehicle = await vehicleBehind(tampering, own, stateDir);
    await vehicle.agent.started;
    const { director, image } = tampering.repositories;
    director.rotate("targets");
    await tampering.namePackageKeys();
    director.rotate("root");
    image.rotate("timestamp");
    tampering.attack = {
      after: () => void image.files.delete(`${image.snapshot.version}.snapshot.json`),
    };
    expect((await update(vehicle)).error?.code).toBe("UPTANE_METADATA_MISSING");
    await vehicle.stop();

    tampering.attack = {};
    const again = await vehicleBehind(tampering, own, stateDir);
    await again.agent.started;
    tampering.asked.length = 0;
    expect(await update(again)).toMatchObject({ status: "completed" });
    const roots = tampering.asked.filter((path) => path.endsWith(".root.json"));
    expect(roots).toEqual(
      ["director/4.root.json", "image/3.root.json"].map((file) => `/api/v1/uptane/${file}`),
    );
    expect(again.events.find(({ type }) => type === "partially_verified")).toBeDefined();
  });

  it("stops at the bound of metadata that never end", async () => {
    const own = "TRUST-4";
    const tampering = await attacker(gateway, own);
    const vehicle = await vehicleBehind(tampering, own);
    await vehicle.agent.started;
    let cut: Promise<unknown> | undefined;
    tampering.answer = (path, response) => {
      if (!path.endsWith("director/timestamp.json")) return false;
      cut = pourForever(response);
      return true;
    };
    expect((await update(vehicle)).error?.code).toBe("UPTANE_METADATA_TOO_LARGE");
    await cut;
    expect(downloads(tampering)).toEqual([]);
  });

  it("stops at the announced length of a package that never ends", async () => {
    const own = "TRUST-5";
    const tampering = await attacker(gateway, own);
    const vehicle = await vehicleBehind(tampering, own);
    await vehicle.agent.started;
    const before = flash(vehicle);
    let cut: Promise<unknown> | undefined;
    tampering.answer = (path, response) => {
      if (!path.includes("/ota/package/")) return false;
      cut = pourForever(response);
      return true;
    };
    expect((await update(vehicle)).error?.code).toBe("DOWNLOAD_SIZE_MISMATCH");
    await cut;
    expect(flash(vehicle)).toEqual(before);
  });

  it("downloads nothing when more is announced than was signed", async () => {
    const own = "TRUST-6";
    const tampering = await attacker(gateway, own);
    const vehicle = await vehicleBehind(tampering, own);
    await vehicle.agent.started;
    tampering.alter = (path, { json, bytes }) =>
      path === "/api/v1/ota/package"
        ? Buffer.from(JSON.stringify({ ...json, size: 1_000_000_000 }))
        : bytes;
    expect((await update(vehicle)).error?.code).toBe("UPTANE_LENGTH_EXCEEDED");
    expect(downloads(tampering)).toEqual([]);
  });

  it("reports once more what it got no answer to, and goes on", async () => {
    const own = "TRUST-9";
    const tampering = await attacker(gateway, own);
    let lost = 0;
    tampering.alter = (path, { bytes }) => {
      if (!path.endsWith("/vci") || ++lost > 1) return bytes;
      throw new Error("the answer is lost");
    };
    const vehicle = await vehicleBehind(tampering, own);
    await vehicle.agent.started;
    expect(vehicle.events.filter(({ type }) => type === "vci_collected")).toHaveLength(1);
    const { json } = await gateway.admin.send("GET", `/api/v1/vehicles/${own}/vci`);
    expect(json.items).toMatchObject([{ evidence: "signed" }]);
    expect(lost).toBe(2);
  });

  const files: [string, (file: Custom) => void, boolean][] = [
    ["compressed file", (file) => (packageOf(file)["sha256"] = "0".repeat(64)), false],
    ["compressed length", (file) => (packageOf(file)["length"] = 1_000_000), false],
    ["place in the package", (file) => (packageOf(file)["path"] = "zones/x"), false],
    ["encoding", (file) => (packageOf(file)["encoding"] = "gzip"), false],
    ["image", (file) => (file.hashes["sha256"] = "0".repeat(64)), true],
    ["image's SHA-512", (file) => (file.hashes["sha512"] = "0".repeat(128)), true],
    ["image's length", (file) => (file.length += 1), true],
  ];
  it.each(files)("flashes nothing when the package has another %s", async (name, change, both) => {
    const own = `TRUST-7${name.length}`;
    const tampering = await attacker(gateway, own);
    const vehicle = await vehicleBehind(tampering, own);
    await vehicle.agent.started;
    const before = flash(vehicle);
    tampering.attack = { before: retarget(change, both) };
    const { status, error } = await update(vehicle);
    expect([status, error?.code]).toEqual(["failed", "UPTANE_PACKAGE_MISMATCH"]);
    expect(flash(vehicle)).toEqual(before);
    expect(vehicle.events.some(({ type }) => type === "ecu_progress")).toBe(false);
  });

  it("takes up no update that was begun without assignments", async () => {
    const own = "TRUST-9";
    const tampering = await attacker(gateway, own);
    const stateDir = testFolder();
    const record: UpdateRecord = {
      update_id: "01a1fa93-83c0-773c-8d01-0d1eed73784e",
      package_id: "pkg-other",
      download_url: "/api/v1/ota/package/pkg-other",
      size: 1,
      checksum: "sha256:00",
      phase: "verifying",
      progress: 40,
      resumes: 0,
      ecus: [],
    };
    mkdirSync(join(stateDir, own, "vmg"), { recursive: true });
    writeFileSync(join(stateDir, own, "vmg", "update.json"), JSON.stringify(record));
    const vehicle = await vehicleBehind(tampering, own, stateDir);
    const { outcome, error } = await vehicle.event("update_finished");
    expect([outcome, error?.code]).toEqual(["failed", "UPTANE_METADATA_MISSING"]);
  });

  it("fails before anything is written when an ECU refuses what the VMG believes", async () => {
    const own = "TRUST-8";
    const tampering = await attacker(gateway, own);
    const stateDir = testFolder();
    // The VMG is another's: it has lost what it knew, its ECUs have not.
    const vehicle = await vehicleBehind(tampering, own, stateDir);
    await vehicle.agent.started;
    const later = () => void (tampering.repositories.director.targets.version += 10);
    tampering.attack = { before: later };
    expect(await update(vehicle)).toMatchObject({ status: "completed" });
    await vehicle.stop();
    rmSync(join(stateDir, own, "vmg", "trust-state.json"));

    await publish(gateway.admin, { ecu_type: TYPE, version: "1.4.0", image: randomBytes(90_000) });
    const again = await vehicleBehind(tampering, own, stateDir);
    await again.agent.started;
    const before = flash(again);
    const { director } = tampering.repositories;
    tampering.attack = { before: () => void (director.targets.version = 1) };
    const { status, error } = await update(again);
    expect([status, error?.code]).toEqual(["failed", "UPTANE_TARGETS_ROLLBACK"]);
    expect(again.events.some(({ type }) => type === "downloaded")).toBe(true);
    expect(flash(again)).toEqual(before);
  });
});

/** Sends bytes until the other side has had enough. */
function pourForever(response: ServerResponse): Promise<unknown> {
  const chunk = Buffer.alloc(64 * 1024, " ");
  const pour = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response.writeHead(200);
  response.on("drain", pour);
  pour();
  return new Promise((resolve) => response.once("close", resolve));
}
