import { expect, it, onTestFinished } from "vitest";
import type { ScriptRun } from "#protocol/api/diagnostic-script.ts";
import { startGateway } from "#test/helpers/gateway.ts";
import { connect, operator, register } from "#test/server/diagnostic-sessions/remote-vehicle.ts";

const api = "/api/v1/diagnostics";
const vin = "VMG-WAITS";

it("a script that has waited is held to the rules as they are by then", async () => {
  const gateway = await startGateway({ maintenance: { interval_s: 3600 } });
  onTestFinished(() => gateway.close());
  const ann = await operator(gateway, "ann", "diagnostician");
  await register(gateway, vin);
  const body = { vin, ecu_id: "ECU_001", script: { steps: [{ request: "22F190" }] } };
  const run = async () => (await ann.send("POST", `${api}/scripts`, { body })).json as ScriptRun;
  const rule = async (effect: string, position: number) => {
    const added = { position, effect, description: "of late", vehicles: [vin] };
    const path = `${api}/policy/rules`;
    expect((await gateway.admin.send("POST", path, { body: added })).status).toBe(201);
  };
  const early = await run();
  await rule("approve", 2);
  const approved = await run();
  const late = await run();
  const { json } = await gateway.admin.send("GET", `${api}/approvals?vin=${vin}`);
  const approve = async ({ script_id }: ScriptRun) => {
    const { items } = json as { items: { approval_id: string; subject: string }[] };
    const id = items.find(({ subject }) => subject === script_id)?.approval_id;
    await gateway.admin.send("POST", `${api}/approvals/${id}/approve`, { body: {} });
  };
  await approve(approved);
  const vehicle = await connect(gateway, vin);
  expect(await vehicle.was("run_script")).toMatchObject({ script_id: approved.script_id });
  await rule("deny", 1);
  await approve(late);
  for (const { script_id } of [early, late]) {
    expect((await ann.send("GET", `${api}/scripts/${script_id}`)).json).toMatchObject({
      status: "cancelled",
      error: { code: "DIAGNOSTIC_DENIED" },
    });
  }
  expect(vehicle.told.filter(({ kind }) => kind === "run_script")).toHaveLength(1);
});
