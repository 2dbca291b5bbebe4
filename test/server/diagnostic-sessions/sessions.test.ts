import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { DiagnosticSession } from "#protocol/api/diagnostic-session.ts";
import { publish } from "#test/helpers/fleet-data.ts";
import type { Caller } from "#test/helpers/gateway.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { metric } from "#test/server/metric.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { connect, opening, operator, register } from "./remote-vehicle.ts";

let gateway: TestGateway;
let ann: Caller & { token_id: string };
let vin: string;
let counter = 0;

beforeAll(async () => {
  gateway = await startGateway({
    diagnostics: { timeout_ms: 100, session_lease_s: 3, session_max_s: 600 },
    maintenance: { interval_s: 3600 },
  });
  ann = await operator(gateway, "ann", "diagnostician");
});
afterAll(() => gateway.close());
beforeEach(async () => {
  vin = `VMG-S${++counter}`;
  await register(gateway, vin);
});

const api = "/api/v1/diagnostics/sessions";
const unexpected = () =>
  metric(gateway, "mqtt_refused_total", { reason: "DIAGNOSTIC_EVENT_UNEXPECTED" });
const open = (by: Caller = ann, body: object = {}) =>
  by.send("POST", api, { body: { vin, ecu_id: "ECU_001", ...body } });
const read = async (id: string) =>
  (await gateway.admin.send("GET", `${api}/${id}`)).json as DiagnosticSession;
const ended = (id: string) =>
  vi.waitFor(
    async () => {
      const session = await read(id);
      expect(session.status).toBe("ended");
      return session;
    },
    { timeout: 10_000 },
  );

describe("a session", () => {
  it("is opened at the vehicle, answered with what the ECU said, and closed again", async () => {
    const vehicle = opening(await connect(gateway, vin));
    const answer = await open(ann, { reason: "brakes squeal", max_s: 60 });
    expect(answer.status).toBe(201);
    const { session_id, expires_at } = answer.json as DiagnosticSession;
    expect(answer.json).toMatchObject({
      vin,
      ecu_id: "ECU_001",
      uds_session: "03",
      status: "open",
      operator: "ann",
      reason: "brakes squeal",
      max_s: 60,
      response_data: "5003003201F4",
      response_decoded: { outcome: "positive", values: [{ value: 50 }, { value: 5000 }] },
      end_reason: null,
    });
    expect(vehicle.told).toEqual([
      {
        kind: "open_session",
        session_id,
        ecu_id: "ECU_001",
        uds_session: 3,
        lease_ms: 3000,
        expires_at,
      },
    ]);
    const closed = await ann.send("DELETE", `${api}/${session_id}`);
    expect(closed.status).toBe(200);
    expect(closed.json).toMatchObject({ end_reason: "closed", ended_by: "operator:ann" });
    expect(await vehicle.was("close_session")).toEqual({ kind: "close_session", session_id });
    // The vehicle's own word of it comes after the gateway's, and once more: neither is refused.
    const refused = await unexpected();
    await vehicle.say({ kind: "session_ended", session_id, reason: "closed" });
    await vehicle.say({ kind: "session_ended", session_id, reason: "closed" });
    await vehicle.say({ kind: "session_opened", session_id, response: "5003003201F4" });
    expect(await unexpected()).toBe(refused);
    // What it opens although it is over it closes again.
    await vehicle.was("close_session", 2);
    expect(await read(session_id)).toMatchObject({ status: "ended", ended_by: "operator:ann" });
    expect((await ann.send("DELETE", `${api}/${session_id}`)).json).toMatchObject({
      end_reason: "closed",
    });
  });

  it("that the ECU refuses is over, and says by which answer", async () => {
    const vehicle = await connect(gateway, vin);
    vehicle.on((message) => {
      if (message.kind !== "open_session") return;
      void vehicle.say({
        kind: "session_ended",
        session_id: message.session_id,
        reason: "refused",
        response: "7F1022",
        interlock: "stationary",
      });
    });
    expect((await open()).json).toMatchObject({
      status: "ended",
      end_reason: "refused",
      ended_by: `vehicle:${vin}`,
      interlock: "stationary",
      response_data: "7F1022",
      response_decoded: { nrc: { code: "0x22" } },
    });
  });

  it("needs a vehicle that is there, and an ECU that it has", async () => {
    expect(problemOf(await open())).toBe("VEHICLE_OFFLINE");
    await gateway.mqtt(vin);
    // Connected, but deaf: nothing stays behind that would keep the ECU.
    expect(problemOf(await open())).toBe("VEHICLE_OFFLINE");
    opening(await connect(gateway, vin));
    expect(problemOf(await open(ann, { ecu_id: "ECU_009" }))).toBe("ECU_UNKNOWN");
    expect(problemOf(await open(ann, { vin: "VMG-NOBODY" }))).toBe("VEHICLE_UNKNOWN");
    expect(problemOf(await open(ann, { uds_session: "83" }))).toBe("REQUEST_INVALID");
    expect((await open()).json).toMatchObject({ status: "open" });
  });

  it("that no vehicle answers for is given up", async () => {
    const vehicle = await connect(gateway, vin);
    const answer = await open();
    expect(answer.json).toMatchObject({
      status: "ended",
      end_reason: "refused",
      ended_by: "gateway",
      error: { code: "VEHICLE_TIMEOUT" },
    });
    await vehicle.was("close_session");
    const hasty = await open(ann, { wait_ms: 0 });
    expect(hasty).toMatchObject({ status: 202, json: { status: "opening", response_data: null } });
    expect(await ended(hasty.json.session_id as string)).toMatchObject({ end_reason: "refused" });
  });

  it("is listed, newest first, by vehicle, ECU, operator and status", async () => {
    opening(await connect(gateway, vin));
    const first = (await open()).json as DiagnosticSession;
    await ann.send("DELETE", `${api}/${first.session_id}`);
    const second = (await open()).json as DiagnosticSession;
    const third = (await open(gateway.admin, { ecu_id: "ECU_002" })).json as DiagnosticSession;
    const list = async (query: string) => {
      const { json } = await ann.send("GET", `${api}?vin=${vin}&${query}`);
      return (json as { items: DiagnosticSession[] }).items.map(({ session_id }) => session_id);
    };
    const [one, two, three] = [first, second, third].map(({ session_id }) => session_id);
    expect(await list("")).toEqual([three, two, one]);
    expect(await list("ecu_id=ECU_001")).toEqual([two, one]);
    expect(await list("operator=ann&status=open")).toEqual([two]);
    expect(await list(`limit=1&cursor=${three}`)).toEqual([two]);
    const unknown = await ann.send("GET", `${api}/00000000-0000-7000-8000-000000000000`);
    expect(problemOf(unknown)).toBe("SESSION_UNKNOWN");
  });
});

describe("an ECU", () => {
  it("is one person's at a time, also when many reach for it at once", async () => {
    opening(await connect(gateway, vin));
    const answers = await Promise.all([open(), open(gateway.admin), open(), open(gateway.admin)]);
    const opened = answers.filter(({ status }) => status === 201);
    expect(opened).toHaveLength(1);
    for (const each of answers.filter(({ status }) => status !== 201)) {
      expect(problemOf(each)).toBe("SESSION_EXISTS");
      expect(each.json.detail).toContain(opened[0]?.json.session_id);
      expect(each.json.detail).toContain(opened[0]?.json.operator);
    }
    // Another ECU is free.
    expect((await open(ann, { ecu_id: "ECU_002" })).json).toMatchObject({ status: "open" });
  });

  it("is taken from a lower role, and from nobody else", async () => {
    const vehicle = opening(await connect(gateway, vin));
    const bob = await operator(gateway, "bob", "diagnostician");
    const { session_id } = (await open()).json as DiagnosticSession;
    const takeover = `${api}/${session_id}/takeover`;
    expect(problemOf(await bob.send("POST", takeover, { body: {} }))).toBe("TAKEOVER_REFUSED");
    expect(problemOf(await bob.send("DELETE", `${api}/${session_id}`))).toBe("SESSION_OF_ANOTHER");
    const taken = await gateway.admin.send("POST", takeover, { body: { reason: "recall" } });
    expect(taken.json).toMatchObject({ status: "open", operator: "first-admin", reason: "recall" });
    expect(await read(session_id)).toMatchObject({
      status: "ended",
      end_reason: "taken_over",
      ended_by: "operator:first-admin",
    });
    // In this order, or the vehicle would refuse the second.
    expect(vehicle.told.map(({ kind }) => kind)).toEqual([
      "open_session",
      "close_session",
      "open_session",
    ]);
    expect(problemOf(await gateway.admin.send("POST", takeover, { body: {} }))).toBe(
      "SESSION_ENDED",
    );
    const again = `${api}/${taken.json.session_id}/takeover`;
    expect(problemOf(await ann.send("POST", again, { body: {} }))).toBe("TAKEOVER_REFUSED");
  });
});

describe("a policy", () => {
  it("refuses by level, and the refusal is on record", async () => {
    opening(await connect(gateway, vin));
    const reader = await operator(gateway, "eve", "diagnostician", { diagnostic_level: "read" });
    expect(problemOf(await open(reader))).toBe("DIAGNOSTIC_DENIED");
    const viewer = await operator(gateway, "vic", "viewer");
    expect(problemOf(await open(viewer))).toBe("ROLE_REQUIRED");
    // The default session is what an ECU is in anyway.
    expect((await open(reader, { uds_session: "01" })).json).toMatchObject({ status: "open" });
  });
});

describe("a session ends", () => {
  it("when its time is over, by the gateway's own clock", async () => {
    const vehicle = opening(await connect(gateway, vin));
    const { session_id } = (await open(ann, { max_s: 1 })).json as DiagnosticSession;
    expect(await ended(session_id)).toMatchObject({ end_reason: "time_over", ended_by: "gateway" });
    await vehicle.was("close_session");
  });

  it.each(["lease_expired", "update_started", "vehicle_restarted"] as const)(
    "when the vehicle says so: %s",
    async (reason) => {
      const vehicle = opening(await connect(gateway, vin));
      const { session_id } = (await open()).json as DiagnosticSession;
      await vehicle.say({ kind: "session_ended", session_id, reason });
      expect(await read(session_id)).toMatchObject({
        end_reason: reason,
        ended_by: `vehicle:${vin}`,
      });
      expect((await open()).json).toMatchObject({ status: "open" });
    },
  );

  it("when an update of the vehicle begins", async () => {
    opening(await connect(gateway, vin));
    const { session_id } = (await open()).json as DiagnosticSession;
    await publish(gateway.admin, { ecu_type: "lights", version: `1.${counter}.0` });
    const vehicle = await gateway.vehicle(vin);
    const { json } = await vehicle.send("POST", "/api/v1/ota/package", { body: { vin } });
    expect(await read(session_id)).toMatchObject({ status: "open" });
    const { update_id, package_id } = json as { update_id: string; package_id: string };
    const status = { vin, update_id, package_id, status: "downloading", progress: 1 };
    await vehicle.send("POST", "/api/v1/ota/status", {
      body: { ...status, ts: "2026-01-19T10:07:00Z" },
    });
    expect(await ended(session_id)).toMatchObject({ end_reason: "update_started" });
  });

  it("with the token that it was opened with, and not with another of the same operator", async () => {
    const vehicle = opening(await connect(gateway, vin));
    const carl = await operator(gateway, "carl", "diagnostician");
    const other = await operator(gateway, "carl", "diagnostician");
    const mine = (await open(carl)).json as DiagnosticSession;
    const kept = (await open(other, { ecu_id: "ECU_002" })).json as DiagnosticSession;
    await gateway.admin.send("DELETE", `/api/v1/operators/tokens/${carl.token_id}`);
    expect(await read(mine.session_id)).toMatchObject({ end_reason: "operator_revoked" });
    expect(await read(kept.session_id)).toMatchObject({ status: "open" });
    expect(await vehicle.was("close_session")).toMatchObject({ session_id: mine.session_id });
  });
});

describe("an emergency", () => {
  const revoke = (by: Caller, body: object) =>
    by.send("POST", "/api/v1/diagnostics/revoke", { body: { reason: "stolen laptop", ...body } });
  const another = async () => {
    const id = `VMG-S${++counter}`;
    await register(gateway, id);
    return { id, vehicle: opening(await connect(gateway, id)) };
  };
  const statusOf = async ({ session_id }: DiagnosticSession) =>
    (await read(session_id)).end_reason ?? "open";

  it("ends all of a vehicle at once, and tells it", async () => {
    const vehicle = opening(await connect(gateway, vin));
    const { id, vehicle: other } = await another();
    const mine = (await open()).json as DiagnosticSession;
    const kept = (await open(ann, { vin: id })).json as DiagnosticSession;
    expect((await revoke(gateway.admin, { vin })).status).toBe(200);
    expect(await read(mine.session_id)).toMatchObject({
      end_reason: "revoked",
      ended_by: "operator:first-admin",
    });
    expect(await vehicle.was("revoke")).toEqual({ kind: "revoke", reason: "stolen laptop" });
    expect(await statusOf(kept)).toBe("open");
    expect(other.told.map(({ kind }) => kind)).not.toContain("revoke");
    // It is over, not forbidden.
    expect((await open()).json).toMatchObject({ status: "open" });
  });

  it("ends all of an operator and leaves others of the same vehicle alone", async () => {
    const vehicle = opening(await connect(gateway, vin));
    const dora = await operator(gateway, "dora", "diagnostician");
    const hers = (await open(dora)).json as DiagnosticSession;
    const mine = (await open(ann, { ecu_id: "ECU_002" })).json as DiagnosticSession;
    expect(problemOf(await revoke(ann, { operator: "dora" }))).toBe("ROLE_REQUIRED");
    expect(problemOf(await revoke(ann, { vin }))).toBe("ROLE_REQUIRED");
    expect((await revoke(dora, { operator: "dora" })).status).toBe(200);
    expect(await statusOf(hers)).toBe("revoked");
    expect(await statusOf(mine)).toBe("open");
    expect(await vehicle.was("close_session")).toMatchObject({ session_id: hers.session_id });
    expect(vehicle.told.map(({ kind }) => kind)).not.toContain("revoke");
  });

  it("ends that of the whole fleet", async () => {
    const vehicle = opening(await connect(gateway, vin));
    const { id, vehicle: other } = await another();
    const sessions = [await open(), await open(ann, { vin: id })];
    const manager = await operator(gateway, "max", "release_manager");
    expect((await revoke(manager, {})).status).toBe(200);
    for (const { json } of sessions) expect(await statusOf(json)).toBe("revoked");
    await vehicle.was("revoke");
    await other.was("revoke");
  });
});

describe("a lease", () => {
  it("is renewed while the vehicle is there", async () => {
    const vehicle = opening(await connect(gateway, vin));
    const { session_id } = (await open()).json as DiagnosticSession;
    expect(await vehicle.was("renew_session", 2)).toEqual({
      kind: "renew_session",
      session_id,
      lease_ms: 3000,
    });
    await ann.send("DELETE", `${api}/${session_id}`);
  });
});

describe("an event of a session", () => {
  it("that the vehicle does not have is refused and counted, and changes nothing", async () => {
    opening(await connect(gateway, vin));
    const { session_id } = (await open()).json as DiagnosticSession;
    const stranger = `VMG-S${++counter}`;
    await register(gateway, stranger);
    const other = await connect(gateway, stranger);
    const before = await unexpected();
    const nobody = "00000000-0000-7000-8000-000000000000";
    await other.say({ kind: "session_ended", session_id, reason: "closed" });
    await other.say({ kind: "session_opened", session_id, response: "5003" });
    await other.say({ kind: "session_ended", session_id: nobody, reason: "closed" });
    await other.say({ kind: "session_opened", session_id: nobody, response: "5003" });
    expect(await unexpected()).toBe(before + 4);
    expect(await read(session_id)).toMatchObject({
      status: "open",
      response_data: "5003003201F4",
    });
  });
});
