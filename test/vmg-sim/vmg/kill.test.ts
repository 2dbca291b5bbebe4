import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { publish } from "#test/helpers/fleet-data.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";

const types = ["brake-controller", "powertrain-controller", "battery-controller"];
const main = fileURLToPath(new URL("../../../vmg-sim/main.ts", import.meta.url));

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway();
  for (const ecu_type of types) {
    await publish(gateway.admin, { ecu_type, version: "1.2.3", image: randomBytes(2_000_000) });
  }
});
afterAll(() => gateway.close());

/** A vehicle in a process of its own, which can be killed. */
function spawnVehicle(vin: string, stateDir: string) {
  const child: ChildProcess = spawn(process.execPath, [main], {
    env: {
      ...process.env,
      VMG_VEHICLE_ID: vin,
      VMG_STATE_DIR: stateDir,
      VMG_CERTS_DIR: gateway.config.certs_dir,
      VMG_GATEWAY_HTTPS_URL: gateway.url,
      VMG_GATEWAY_MQTT_URL: `mqtts://localhost:${gateway.app.ports.mqtt}`,
      VMG_GATEWAY_BACKOFF_MS: "50",
      VMG_LOG_FORMAT: "json",
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const over = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const end = (signal: NodeJS.Signals) => {
    child.kill(signal);
    return over;
  };
  onTestFinished(() => end("SIGKILL"));
  const lines = createInterface({ input: child.stdout ?? process.stdin });
  /** Resolves in the very moment that the vehicle says so. */
  const says = (text: string) =>
    new Promise<void>((resolve) => lines.on("line", (line) => line.includes(text) && resolve()));
  return { says, kill: () => end("SIGKILL"), stop: () => end("SIGTERM") };
}

async function ended(vin: string): Promise<{ status: string }> {
  return vi.waitFor(
    async () => {
      const { json } = await gateway.admin.send("GET", `/api/v1/updates?vin=${vin}`);
      const [latest] = json.items as { status: string; completed_at: string | null }[];
      if (!latest?.completed_at) throw new Error("the update has not ended yet");
      return latest;
    },
    { timeout: 60_000 },
  );
}

/** The vehicle forgets the update when the gateway has had the VCI after it. */
async function gone(file: string): Promise<void> {
  await vi.waitFor(() => expect(existsSync(file)).toBe(false), { timeout: 60_000 });
}

async function versions(vin: string): Promise<string[]> {
  const { json } = await gateway.admin.send("GET", `/api/v1/vehicles/${vin}/vci`);
  return json.items[0].ecus.map((ecu: { software_version: string }) => ecu.software_version);
}

const updated = ["1.2.3", "1.2.3", "1.2.3", "1.0.0"];
const old = ["1.0.0", "1.0.0", "1.0.0", "1.0.0"];

describe("a vehicle that is killed", () => {
  it.each([
    ["package pkg-", ["success"]],
    ["update: downloading 1", ["success"]],
    ["update: verifying", ["success"]],
    ["update: installing 52", ["success"]],
    ["update: installing 6", ["success"]],
    ["ECU_001 flashed", ["success"]],
    ["update: restarting", ["success", "rolled_back"]],
    ["restarted", ["success", "rolled_back"]],
    ["update: health_check", ["success", "rolled_back"]],
    ["confirmed", ["success", "rolled_back"]],
    ["update: completed", ["success"]],
  ])("at “%s” carries on and leaves no ECU behind", async (text, ends) => {
    const vin = `KILL-${text.replaceAll(/\W/g, "").slice(-11)}`;
    const stateDir = testFolder();
    const first = spawnVehicle(vin, stateDir);
    await first.says(text);
    await first.kill();

    const second = spawnVehicle(vin, stateDir);
    const { status } = await ended(vin);
    await gone(join(stateDir, vin, "vmg", "update.json"));
    expect(ends).toContain(status);
    expect(await versions(vin)).toEqual(status === "success" ? updated : old);
    await second.stop();
  });
});
