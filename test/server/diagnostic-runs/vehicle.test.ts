import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { DiagnosticSession } from "#protocol/api/diagnostic-session.ts";
import type { ScriptRun, ScriptStepResult } from "#protocol/api/diagnostic-script.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { requirePeer } from "#test/helpers/optional.ts";
import { testVehicle } from "#test/vmg-sim/vmg/test-vehicle.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({ maintenance: { interval_s: 3600 } });
});
afterAll(() => gateway.close());

const api = "/api/v1/diagnostics";
const page = readFileSync(new URL("../../../docs/diagnostics.md", import.meta.url), "utf8");
/** The script that the documentation shows. */
const [, example = ""] = /POST \/api\/v1\/diagnostics\/scripts\n(\{.*?\n\})\n```/s.exec(page) ?? [];

async function simulated(vin: string): Promise<string> {
  const vehicle = await testVehicle(gateway, { vin });
  await vehicle.agent.started;
  const [ecu] = vehicle.hardware.zones.flatMap(({ ecus }) => ecus);
  return ecu?.ecu_id ?? "";
}
const post = (path: string, body: object) => gateway.admin.send("POST", api + path, { body });
async function stepsOf(script_id: string): Promise<ScriptStepResult[]> {
  const { json } = await gateway.admin.send("GET", `${api}/scripts/${script_id}/steps`);
  return (json as { items: ScriptStepResult[] }).items;
}

it("a simulated vehicle carries out the script of the documentation, and cleans up", async () => {
  const vin = "VMG-SCRIPT";
  const ecu_id = await simulated(vin);
  const wanted = { ...(JSON.parse(example) as object), vin, ecu_id, wait_ms: 30_000 };
  const { status, json } = await post("/scripts", wanted);
  const run = json as ScriptRun;
  const steps = await stepsOf(run.script_id);
  expect([status, run.status, run.error, steps.at(-1)]).toMatchObject([
    201,
    "completed",
    null,
    { path: "cleanup/0", request_data: "1001", response_data: expect.stringMatching(/^5001/) },
  ]);
  expect(run.answers["dtcs"]).toMatchObject({ response_data: expect.stringMatching(/^5902/) });
  expect(steps.map(({ seq }) => seq)).toEqual(steps.map((_, index) => index + 1));
  expect(run.steps).toBe(steps.length);
  // The seed and the key are in nobody's hands.
  const keys = steps.filter(({ request_data }) => request_data?.startsWith("27"));
  expect(keys.map(({ request_data, response_data }) => [request_data, response_data])).toEqual([
    ["2703", "6703"],
    ["2704", "6704"],
  ]);
});

it("a simulated vehicle unlocks, authenticates and gives up a script in a session", async () => {
  const vin = "VMG-UNLOCK";
  const ecu_id = await simulated(vin);
  const { session_id } = (await post("/sessions", { vin, ecu_id })).json as DiagnosticSession;
  const unlock = (await post(`/sessions/${session_id}/unlock`, { level: 3 })).json as ScriptRun;
  expect(unlock).toMatchObject({ status: "completed", error: null });
  const proof = (await post(`/sessions/${session_id}/authenticate`, {})).json as ScriptRun;
  expect(proof).toMatchObject({ status: "completed", error: null });
  const script = { steps: [{ wait_ms: 60_000 }], cleanup: [{ request: "3E00" }] };
  const started = await post("/scripts", { vin, ecu_id, session_id, script });
  const { script_id } = started.json as ScriptRun;
  const path = `${api}/scripts/${script_id}`;
  const ended = await gateway.admin.send("DELETE", `${path}?wait_ms=10000`);
  expect(ended.json).toMatchObject({ status: "cancelled" });
  expect((await stepsOf(script_id)).at(-1)).toMatchObject({ path: "cleanup/0" });
});

it("each step of a script is in the capture once, also those that need a proof", async (context) => {
  requirePeer(context, "tshark");
  const vin = "VMG-CAPTURE";
  const ecu_id = await simulated(vin);
  const script = { steps: [{ request: "10 03" }, { unlock: 3 }, { request: "10 01" }] };
  const run = (await post("/scripts", { vin, ecu_id, script, wait_ms: 30_000 })).json as ScriptRun;
  expect(run).toMatchObject({ status: "completed" });
  const file = join(testFolder(), "script.pcapng");
  const { bytes } = await gateway.admin.send("GET", `${api}/capture?vin=${vin}`);
  writeFileSync(file, bytes);
  const fields = ["-Y", "uds", "-T", "fields", "-e", "uds.sid"];
  const { stdout } = spawnSync("tshark", ["-r", file, ...fields], { encoding: "utf8" });
  const eachTwice = ["0x10", "0x27", "0x27", "0x10"].flatMap((sid) => [sid, sid]);
  expect(stdout.trim().split("\n")).toEqual(eachTwice);
});
