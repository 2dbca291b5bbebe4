import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Agent, request } from "undici";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { serverCa } from "#crypto/pki.ts";
import type { DiagnosticSession } from "#protocol/api/diagnostic-session.ts";
import type { ScriptRun } from "#protocol/api/diagnostic-script.ts";
import type { DiagnosticRequest } from "#protocol/mqtt/diagnostics.ts";
import { startApp, type App } from "#server/app.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { connect, opening, register } from "#test/server/diagnostic-sessions/remote-vehicle.ts";
import { silentLog } from "#test/server/own-database.ts";

const vin = "VMG-TWO";
const api = "/api/v1/diagnostics";

/** Speaks as an admin with one of two gateways. */
async function operatorAt(app: App, { config }: TestGateway) {
  const dispatcher = new Agent({ connect: { ca: await serverCa(config.certs_dir) } });
  onTestFinished(() => dispatcher.close());
  const authorization = `Bearer ${readFileSync(app.tokenFile, "utf8").trim()}`;
  return async (method: "POST" | "DELETE", path: string, sent?: object): Promise<unknown> => {
    const { body } = await request(`https://localhost:${app.ports.https}${api}${path}`, {
      dispatcher,
      method,
      headers: { authorization, ...(sent && { "content-type": "application/json" }) },
      ...(sent && { body: JSON.stringify(sent) }),
    });
    return body.json();
  };
}

/** An embedded database has one gateway. */
describe.runIf(process.env["TEST_DATABASE"] === "postgresql")("a vehicle at one gateway", () => {
  let gateway: TestGateway;
  let other: App;
  beforeAll(async () => {
    gateway = await startGateway({ certificates: { poll_ms: 20 } });
    const data_dir = join(gateway.config.data_dir, "other");
    other = await startApp({ ...gateway.config, data_dir }, silentLog);
    await register(gateway, vin);
  });
  afterAll(async () => {
    await other.close();
    await gateway.close();
  });

  it("hears what is ended, revoked and asked of it at another one", async () => {
    const vehicle = opening(await connect(gateway, vin));
    const body = { vin, ecu_id: "ECU_001" };
    const { json } = await gateway.admin.send("POST", `${api}/sessions`, { body });
    const { session_id } = json as DiagnosticSession;
    const send = await operatorAt(other, gateway);
    await send("DELETE", `/sessions/${session_id}`);
    expect(await vehicle.was("close_session")).toEqual({ kind: "close_session", session_id });
    const script = { steps: [{ request: "3E00" }] };
    const run = (await send("POST", "/scripts", { ...body, script })) as ScriptRun;
    expect(await vehicle.was("run_script")).toMatchObject({ script_id: run.script_id });
    await send("DELETE", `/scripts/${run.script_id}`);
    expect(await vehicle.was("cancel_script")).toMatchObject({ script_id: run.script_id });
    await send("POST", "/revoke", { vin, reason: "smoke" });
    await vehicle.was("revoke");
  });

  it("is asked by another one, which hears the answer", async () => {
    const { client } = await connect(gateway, vin);
    client.on("message", (topic, payload) => {
      const message = JSON.parse(payload.toString()) as DiagnosticRequest & { success?: boolean };
      if (!topic.endsWith("/diagnostics") || message.success !== undefined) return;
      const { request_id, attempt } = message;
      const answer = { request_id, attempt, success: true, response_data: "62F19041" };
      void client.publishAsync(topic, JSON.stringify(answer), { qos: 1 });
    });
    await client.subscribeAsync(`vehicle/${vin}/diagnostics`, { qos: 1 });
    const send = await operatorAt(other, gateway);
    const body = { vin, ecu_id: "ECU_001", service_id: "22", data: "F190", wait_ms: 20_000 };
    expect(await send("POST", "/send", body)).toMatchObject({
      status: "completed",
      attempts: 1,
      responses: [{ response_data: "62F19041" }],
    });
  });
});
