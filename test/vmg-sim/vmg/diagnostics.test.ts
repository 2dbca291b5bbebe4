import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { DiagnosticRequest } from "#protocol/mqtt/diagnostics.ts";
import { testFolder } from "#test/helpers/folder.ts";
import type { EcuBehaviour } from "#vmg-sim/ecu/behaviour.ts";
import { remoteRig } from "./remote-rig.ts";

async function setUp(
  behaviours: Record<string, EcuBehaviour> = {},
  folder = testFolder(),
  verifiesUpdates = true,
) {
  const rig = await remoteRig({ behaviours, folder, verifiesUpdates });
  return { ...rig, folder };
}

const request = (change: Partial<DiagnosticRequest> = {}): DiagnosticRequest => ({
  request_id: randomUUID(),
  ...(change.zone_id === undefined && { ecu_id: "ECU_001" }),
  service_id: "0x22",
  data: "F190",
  timeout_ms: 2000,
  attempt: 1,
  ...change,
});

/** `2E F199`: writes the programming date, in an extended session. */
const write = { service_id: "0x14", data: "FFFFFF" };

describe("diagnostics", () => {
  it("carries a request to the ECU and its answer back", async () => {
    const { diagnostics, responded, responses } = await setUp();
    const asked = request();
    await diagnostics.handleRequest(asked);
    const [response] = await responded(1);
    expect(response).toMatchObject({
      request_id: asked.request_id,
      attempt: 1,
      ecu_id: "ECU_001",
      success: true,
    });
    expect(Buffer.from(response?.response_data ?? "", "hex").toString("latin1")).toBe(
      "b\xf1\x90VMG-001".padEnd(20),
    );
    expect(responses[0]?.durable).toBe(false);
  });

  it("says once that an ECU has asked for more time", async () => {
    const { diagnostics, responded, pending } = await setUp({ ECU_001: { slowMs: 300 } });
    const asked = request();
    await diagnostics.handleRequest(asked);
    expect(await responded(1)).toMatchObject([{ timing: { pending_count: 1 } }]);
    expect(pending).toEqual([asked.request_id]);
  });

  it("passes a negative response on as an answer", async () => {
    const { diagnostics, responded } = await setUp();
    await diagnostics.handleRequest(request({ data: "FFFF" }));
    expect(await responded(1)).toMatchObject([{ success: true, response_data: "7F2231" }]);
  });

  it("collects the answers of a zone, each with its ECU", async () => {
    const { diagnostics, responded } = await setUp();
    await diagnostics.handleRequest(request({ zone_id: "ZG-REAR", data: "F18C" }));
    const [response] = await responded(1);
    const answers = response?.responses?.toSorted((a, b) => a.ecu_id.localeCompare(b.ecu_id));
    expect(answers?.map(({ ecu_id }) => ecu_id)).toEqual(["ECU_003", "ECU_004"]);
    expect(answers?.every((answer) => answer.response_data.startsWith("62F18C"))).toBe(true);
  });

  it.each([
    [{ ecu_id: "ECU_999" }, "ECU_UNKNOWN"],
    [{ zone_id: "ZG-TOP" }, "ECU_UNKNOWN"],
    [{ ecu_id: "ECU_001", zone_id: "ZG-REAR" }, "REQUEST_INVALID"],
    [{ data: "f190" }, "REQUEST_INVALID"],
    [{ timeout_ms: 0 }, "REQUEST_INVALID"],
  ])("answers %j with %s", async (change, code) => {
    const { diagnostics, responded } = await setUp();
    await diagnostics.handleRequest(request(change));
    expect(await responded(1)).toMatchObject([{ success: false, error: { code } }]);
  });

  it("tells a silent ECU from one that is gone and from a zonal gateway that is gone", async () => {
    const { diagnostics, responded, hardware } = await setUp({ ECU_002: { silent: true } });
    await diagnostics.handleRequest(request({ ecu_id: "ECU_002", timeout_ms: 500 }));
    expect(await responded(1)).toMatchObject([{ error: { code: "UDS_TIMEOUT" } }]);
    await hardware.stop();
    await diagnostics.handleRequest(request({ ecu_id: "ECU_004", timeout_ms: 500 }));
    expect((await responded(2))[1]).toMatchObject({ error: { code: "DOIP_CONNECT" } });
  });

  it("ignores its own kind and what can't be answered", async () => {
    const { diagnostics, responses } = await setUp();
    await diagnostics.handleRequest({ request_id: randomUUID(), attempt: 1, success: true });
    await diagnostics.handleRequest({ nothing: 1 });
    await diagnostics.handleRequest("text");
    expect(responses).toEqual([]);
  });

  it("does not disturb an ECU that is being updated, nor its zone", async () => {
    const { diagnostics, responded, busy } = await setUp();
    busy.add("ECU_001");
    await diagnostics.handleRequest(request());
    await diagnostics.handleRequest(request({ zone_id: "ZG-FRONT" }));
    await diagnostics.handleRequest(request({ ecu_id: "ECU_002" }));
    const answers = await responded(3);
    expect(answers.map(({ error }) => error?.code)).toEqual([
      "VEHICLE_BUSY",
      "VEHICLE_BUSY",
      undefined,
    ]);
  });

  it.each([
    ["the programming session", "0x10", "02"],
    ["the programming session, without an answer", "0x10", "82"],
    ["a download", "0x34", "00444D00000000000100"],
    ["a block of it", "0x36", "01FF"],
    ["its end", "0x37", ""],
    ["a file", "0x38", "01"],
    ["a write to memory", "0x3D", "1100"],
    ["whatever is inside secured data", "0x84", "00"],
    ["the other bank to start next", "0x31", "010203"],
    ["the new bank to stay", "0x31", "010204"],
    ["the old bank", "0x31", "810206"],
  ])("lets nobody past its verification by asking for %s", async (_, service_id, data) => {
    const { diagnostics, responded } = await setUp();
    await diagnostics.handleRequest(request({ service_id, data }));
    await diagnostics.handleRequest(request({ service_id, data, zone_id: "ZG-REAR" }));
    const answers = await responded(2);
    const refused = { success: false, error: { code: "PROGRAMMING_REFUSED" } };
    expect(answers).toMatchObject([refused, refused]);
  });

  it("lets other sessions and routines be, and everything where nothing is verified", async () => {
    const { diagnostics, responded } = await setUp();
    await diagnostics.handleRequest(request({ service_id: "0x10", data: "03" }));
    expect(await responded(1)).toMatchObject([{ success: true }]);
    await diagnostics.handleRequest(request({ service_id: "0x31", data: "010205" }));
    expect((await responded(2))[1]).toMatchObject({ response_data: "7101020500" });
    const open = await setUp({}, testFolder(), false);
    await open.diagnostics.handleRequest(request({ service_id: "0x10", data: "03" }));
    await open.responded(1);
    await open.diagnostics.handleRequest(request({ service_id: "0x10", data: "02" }));
    expect((await open.responded(2))[1]).toMatchObject({ success: true });
  });

  it("asks again for a read that failed, and answers one that did not from memory", async () => {
    const { diagnostics, responded, hardware, events } = await setUp({ ECU_001: { silent: true } });
    const asked = request({ timeout_ms: 400 });
    await diagnostics.handleRequest(asked);
    expect(await responded(1)).toMatchObject([{ success: false, attempt: 1 }]);
    hardware.zones[0]?.ecus[0]?.setBehaviour({});
    await diagnostics.handleRequest({ ...asked, attempt: 2 });
    await responded(2);
    await diagnostics.handleRequest({ ...asked, attempt: 3 });
    expect((await responded(3)).slice(1)).toMatchObject([
      { success: true, attempt: 2 },
      { success: true, attempt: 3 },
    ]);
    expect(events).toMatchObject([{ repeated: false }, { repeated: false }, { repeated: true }]);
  });

  it("carries out a repeat that comes meanwhile once, and answers the latest attempt", async () => {
    const { diagnostics, responded, events } = await setUp({ ECU_001: { slowMs: 60 } });
    const asked = request();
    await diagnostics.handleRequest(asked);
    await diagnostics.handleRequest({ ...asked, attempt: 2 });
    expect(await responded(1)).toMatchObject([{ attempt: 2, success: true }]);
    expect(events).toHaveLength(1);
  });

  it("never carries a changing request out twice, not even after a restart", async () => {
    const first = await setUp();
    const change = request(write);
    await first.diagnostics.handleRequest(change);
    expect(await first.responded(1)).toMatchObject([{ success: true, response_data: "54" }]);
    expect(first.responses[0]?.durable).toBe(true);

    const second = await setUp({ ECU_001: { silent: true } }, first.folder);
    await second.diagnostics.handleRequest({ ...change, attempt: 2 });
    expect(await second.responded(1)).toMatchObject([
      { success: true, response_data: "54", attempt: 2 },
    ]);
  });

  it("says that the outcome is unknown when it was killed in the middle of a change", async () => {
    const first = await setUp({ ECU_001: { slowMs: 60_000 } });
    const change = request({ ...write, timeout_ms: 60_000 });
    await first.diagnostics.handleRequest(change);
    const second = await setUp({}, first.folder);
    await second.diagnostics.handleRequest({ ...change, attempt: 2 });
    expect(await second.responded(1)).toMatchObject([
      { success: false, error: { code: "UDS_TIMEOUT" } },
    ]);
  });

  it("takes no more than so many at once", async () => {
    const { diagnostics, responded } = await setUp({ ECU_001: { slowMs: 60_000 } });
    for (let i = 0; i < 33; i++) await diagnostics.handleRequest(request({ timeout_ms: 60_000 }));
    expect(await responded(1)).toMatchObject([{ error: { code: "VEHICLE_BUSY" } }]);
  });
});
