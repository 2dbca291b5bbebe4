import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { CommandResponse } from "#protocol/mqtt/control.ts";
import { DiagnosticResponse, isDiagnosticResponse } from "#protocol/mqtt/diagnostics.ts";
import { Heartbeat } from "#protocol/mqtt/heartbeat.ts";
import { Instant } from "#protocol/mqtt/instant.ts";
import { OtaStatus } from "#protocol/mqtt/ota-status.ts";
import { RemoteConfig } from "#protocol/mqtt/remote-config.ts";
import { Telemetry } from "#protocol/mqtt/telemetry.ts";

const ts = "2026-05-04T10:00:00Z";
const id = "0198c0de-0000-7000-8000-000000000000";

const fits = (schema: TSchema, value: unknown) => Compile(schema).Check(value);

describe("Instant", () => {
  it.each([
    "2026-05-04T10:00:00Z",
    "2026-05-04T10:00:00.123456789+02:00",
    "2099-12-31T23:59:59-11:30",
  ])("takes %s", (text) => expect(fits(Instant, text)).toBe(true));

  it.each([
    "1970-01-01T00:00:00Z",
    "2026-05-04",
    "2026-05-04 10:00:00Z",
    "2026-05-04T10:00:00",
    "2026-13-01T00:00:00Z",
    "2026-01-32T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T00:00:60Z",
    "2026-01-01T00:00:00+24:00",
    "2026-05-04T10:00:00Z\n",
    "+002026-05-04T10:00:00Z",
    "",
  ])("refuses %j", (text) => expect(fits(Instant, text)).toBe(false));

  it("takes nothing that Date can't read: one such time would fail a whole batch", () => {
    const two = (max: number) =>
      fc.integer({ min: 0, max }).map((value) => String(value).padStart(2, "0"));
    const zone = fc.oneof(
      fc.constant("Z"),
      fc.tuple(fc.constantFrom("+", "-"), two(23), two(59)).map(([s, h, m]) => `${s}${h}:${m}`),
    );
    const text = fc
      .tuple(two(99), two(13), two(32), two(24), two(60), two(60), zone)
      .map(([y, mo, d, h, mi, s, z]) => `20${y}-${mo}-${d}T${h}:${mi}:${s}${z}`);
    fc.assert(
      fc.property(text, (value) => {
        const isUnreadable = fits(Instant, value) && Number.isNaN(Date.parse(value));
        expect(isUnreadable).toBe(false);
      }),
      { numRuns: 3000 },
    );
  });
});

describe("ids that go into queries", () => {
  // The database has them as uuid: anything else there is an error, and no PUBACK, for ever.
  it.each(["------------------------------------", "a".repeat(36), `${id}0`, id.toUpperCase()])(
    "%s is none",
    (wrong) => {
      expect(fits(OtaStatus, { update_id: wrong, status: "verifying", progress: 1, ts })).toBe(
        false,
      );
      expect(fits(CommandResponse, { command_id: wrong, status: "accepted", ts })).toBe(false);
      expect(fits(DiagnosticResponse, { request_id: wrong, attempt: 1, success: true })).toBe(
        false,
      );
    },
  );

  it("takes a UUID", () => {
    expect(fits(OtaStatus, { update_id: id, status: "verifying", progress: 1, ts })).toBe(true);
    expect(fits(CommandResponse, { command_id: id, status: "accepted", ts })).toBe(true);
    expect(fits(DiagnosticResponse, { request_id: id, attempt: 1, success: true })).toBe(true);
  });
});

describe("Telemetry", () => {
  it.each([
    [{ ts, speed: 1 }, true],
    [{ ts, speed: 1.5, gear: "D", doors_closed: true }, true],
    [{ ts }, false],
    [{ speed: 1 }, false],
    [{ ts, speed: null }, false],
    [{ ts, speed: [1] }, false],
    [{ ts, position: { lat: 1 } }, false],
    [{ ts, speed: Infinity }, false],
    [{ ts, note: "x".repeat(257) }, false],
    [{ ts, ["x".repeat(65)]: 1 }, false],
    [{ ts, "": 1 }, false],
    [
      Object.fromEntries([["ts", ts], ...Array.from({ length: 64 }, (_, i) => [`s${i}`, i])]),
      false,
    ],
    [Object.fromEntries([["ts", ts], ...Array.from({ length: 63 }, (_, i) => [`s${i}`, i])]), true],
    [[], false],
    ["x", false],
    [null, false],
  ])("%j: %s", (payload, expected) => expect(fits(Telemetry, payload)).toBe(expected));
});

describe("OtaStatus", () => {
  const good = { update_id: id, status: "downloading", progress: 10, ts };
  it.each([
    [{}, true],
    [{ progress: 100, ecu_id: "ECU_001", error: { code: "X", message: "y" } }, true],
    [{ progress: -0.1 }, false],
    [{ progress: 100.1 }, false],
    [{ progress: "10" }, false],
    [{ status: "success" }, false],
    [{ status: "pending" }, false],
    [{ ecu_id: "a b" }, false],
    [{ message: "x".repeat(1025) }, false],
    [{ error: "bad" }, false],
    [{ bytes_downloaded: 1.5 }, false],
  ])("%j: %s", (change, expected) =>
    expect(fits(OtaStatus, { ...good, ...change })).toBe(expected),
  );
});

describe("DiagnosticResponse", () => {
  const good = { request_id: id, attempt: 1, ecu_id: "ECU_001", success: true };
  it.each([
    [{ response_data: "62F190" }, true],
    [{ response_data: "" }, true],
    [{ response_data: "62F19" }, false],
    [{ response_data: "62f190" }, false],
    [{ attempt: 0 }, false],
    [{ success: "yes" }, false],
    [{ responses: [{ ecu_id: "A", response_data: "62" }] }, true],
    [{ responses: [{ ecu_id: "A" }] }, false],
    [{ responses: Array.from({ length: 257 }, () => ({ ecu_id: "A", response_data: "" })) }, false],
  ])("%j: %s", (change, expected) =>
    expect(fits(DiagnosticResponse, { ...good, ...change })).toBe(expected),
  );

  it("is told from a request by `success` alone, of its own", () => {
    expect(isDiagnosticResponse(good)).toBe(true);
    for (const other of [{ request_id: id }, Object.create({ success: true }), null, "x", 1]) {
      expect(isDiagnosticResponse(other)).toBe(false);
    }
  });
});

describe("Heartbeat and RemoteConfig", () => {
  it("bound what they carry", () => {
    expect(fits(Heartbeat, { ts, state: "idle" })).toBe(true);
    expect(fits(Heartbeat, { ts })).toBe(false);
    expect(fits(Heartbeat, { ts, state: "x".repeat(33) })).toBe(false);
    expect(fits(Heartbeat, { ts, state: "idle", versions: { "a b": "1" } })).toBe(false);
    expect(fits(Heartbeat, { ts, state: "idle", free_storage_bytes: -1 })).toBe(false);
    expect(fits(RemoteConfig, {})).toBe(true);
    expect(fits(RemoteConfig, { heartbeat_interval_s: 0 })).toBe(false);
    expect(fits(RemoteConfig, { shell: "rm" })).toBe(false);
  });
});
