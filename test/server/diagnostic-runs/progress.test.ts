import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { get } from "node:https";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { clientTlsOptions } from "#crypto/tls.ts";
import { serverCa } from "#crypto/pki.ts";
import type { ScriptRun, ScriptStepResult } from "#protocol/api/diagnostic-script.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import {
  connect,
  register,
  type RemoteVehicle,
} from "#test/server/diagnostic-sessions/remote-vehicle.ts";
import { problemOf } from "#test/server/problem-of.ts";

let gateway: TestGateway;
let vehicle: RemoteVehicle;
let vin: string;
let counter = 0;

beforeAll(async () => {
  gateway = await startGateway({ maintenance: { interval_s: 3600 } });
});
afterAll(() => gateway.close());
beforeEach(async () => {
  vin = `VMG-P${++counter}`;
  await register(gateway, vin);
  vehicle = await connect(gateway, vin);
});

const api = "/api/v1/diagnostics/scripts";

async function run(): Promise<string> {
  const body = { vin, ecu_id: "ECU_001", script: { steps: [{ request: "22F190" }] } };
  const { json } = await gateway.admin.send("POST", api, { body });
  const { script_id } = json as ScriptRun;
  await vehicle.was("run_script");
  return script_id;
}
const say = (script_id: string, seq: number) =>
  vehicle.say({
    kind: "script_step",
    script_id,
    seq,
    path: "steps/0",
    request: "22F190",
    response: `62F190${seq.toString(16).padStart(4, "0").toUpperCase()}`,
  });
const finish = (script_id: string) =>
  vehicle.say({ kind: "script_finished", script_id, outcome: "completed", steps: 3, answers: {} });

interface Sent {
  id?: string;
  event: string;
  data: unknown;
}

/** Reads a stream of events. */
async function listen(script_id: string, lastEventId?: string) {
  const ca = await serverCa(gateway.config.certs_dir);
  const token = readFileSync(gateway.app.tokenFile, "utf8").trim();
  const headers = {
    authorization: `Bearer ${token}`,
    ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }),
  };
  const url = `${gateway.url}${api}/${script_id}/events`;
  const response = await new Promise<IncomingMessage>((done, fail) => {
    get(url, { ...clientTlsOptions({ profile: 2, ca }), headers }, done).once("error", fail);
  });
  async function* events(): AsyncGenerator<Sent> {
    let text = "";
    for await (const chunk of response) {
      text += String(chunk);
      const parts = text.split("\n\n");
      text = parts.pop() ?? "";
      for (const part of parts) {
        const lines = part.split("\n").filter((line) => !line.startsWith(":"));
        const field = (name: string) =>
          lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        const [id, event, data] = [field("id"), field("event"), field("data")];
        if (event !== undefined)
          yield { ...(id !== undefined && { id }), event, data: JSON.parse(data ?? "null") };
      }
    }
  }
  return { type: response.headers["content-type"], events: events(), response };
}

const next = async (events: AsyncGenerator<Sent>) => {
  const { value } = await events.next();
  return value as Sent;
};
const seqOf = ({ data }: Sent) => (data as ScriptStepResult).seq;

describe("the progress of a script", () => {
  it("is streamed step by step in order, however they come, and ends with the run", async () => {
    const script_id = await run();
    const { type, events } = await listen(script_id);
    expect(type).toMatch(/^text\/event-stream/);
    await say(script_id, 1);
    const first = await next(events);
    expect(first).toMatchObject({
      id: "1",
      event: "step",
      data: { seq: 1, request_data: "22F190", decoded: { outcome: "positive" } },
    });
    await say(script_id, 3);
    await say(script_id, 2);
    expect([await next(events), await next(events)].map(seqOf)).toEqual([2, 3]);
    await finish(script_id);
    expect(await next(events)).toMatchObject({
      event: "end",
      data: { script_id, status: "completed", steps: 3 },
    });
    expect(await events.next()).toEqual({ value: undefined, done: true });
  });

  it("is taken up behind the last event that somebody has seen, also after the end", async () => {
    const script_id = await run();
    for (const seq of [1, 2, 3]) await say(script_id, seq);
    await finish(script_id);
    const { events } = await listen(script_id, "2");
    expect(seqOf(await next(events))).toBe(3);
    expect(await next(events)).toMatchObject({ event: "end" });
    const refused = await gateway.admin.send("GET", `${api}/${script_id}/events`, {
      headers: { "last-event-id": "x" },
    });
    expect(problemOf(refused)).toBe("REQUEST_INVALID");
  });

  it("that is long is streamed whole", async () => {
    const script_id = await run();
    await Promise.all(Array.from({ length: 250 }, (_, index) => say(script_id, index + 1)));
    await finish(script_id);
    const { events } = await listen(script_id);
    const seqs: number[] = [];
    for await (const event of events) if (event.event === "step") seqs.push(seqOf(event));
    expect(seqs).toEqual(Array.from({ length: 250 }, (_, index) => index + 1));
  });

  it("ends when the gateway does", async () => {
    const script_id = await run();
    const { events } = await listen(script_id);
    await say(script_id, 1);
    await next(events);
    const end = events.next();
    await vehicle.client.endAsync(true);
    await gateway.restart();
    expect(await end).toEqual({ value: undefined, done: true });
  });
});
