import { describe, expect, it } from "vitest";
import type { ProblemError } from "#protocol/api/problem.ts";
import { diagnosticErrors, type DiagnosticResponse } from "#protocol/mqtt/diagnostics.ts";
import { outcomeOf, outcomeOfSilence, requestBytes } from "#server/diagnostics/request.ts";

describe("requestBytes", () => {
  it.each([
    ["0x22", "F190", "22f190"],
    ["22", "f1 90", "22f190"],
    ["0X10", "0x03", "1003"],
    ["0x31", "0x01 0xFF 0x00", "3101ff00"],
    ["3E", undefined, "3e"],
    ["3E", "", "3e"],
    ["22", "F1\n90\t", "22f190"],
  ])("%s %j", (service, data, hex) => {
    expect(requestBytes(service, data).toString("hex")).toBe(hex);
  });

  it.each([
    "F",
    "F19",
    "GG",
    "F1-90",
    "0xF1,0x90",
    "0x",
    "10x2",
    "F10x90",
    "0 0",
    "1 2 3 4",
    "0x0xF1",
    "F1 9",
  ])("refuses %j rather than guess what an ECU should do", (data) => {
    expect(() => requestBytes("0x2E", data)).toThrow(
      expect.objectContaining({ code: "DIAGNOSTIC_INVALID" }) as ProblemError,
    );
  });

  it("bounds a request to 4,095 bytes", () => {
    expect(requestBytes("36", "00".repeat(4094))).toHaveLength(4095);
    expect(() => requestBytes("36", "00".repeat(4095))).toThrow(/4095/);
  });
});

const response = (change: Partial<DiagnosticResponse>): DiagnosticResponse => ({
  request_id: "0198c0de-0000-7000-8000-000000000000",
  attempt: 1,
  ecu_id: "ECU_001",
  success: true,
  ...change,
});

describe("outcomeOf", () => {
  it("a positive response completes", () => {
    expect(outcomeOf(response({ response_data: "62F19031" }), false)).toEqual({
      status: "completed",
      responses: [{ ecu_id: "ECU_001", response_data: "62F19031" }],
    });
  });

  it("a negative one is an answer too, and not tried again", () => {
    for (const more of [false, true]) {
      expect(outcomeOf(response({ response_data: "7F2231" }), more)).toMatchObject({
        status: "negative_response",
      });
    }
  });

  it("a suppressed response completes without bytes", () => {
    for (const change of [{ response_data: "" }, {}]) {
      expect(outcomeOf(response(change), false)).toEqual({ status: "completed", responses: [] });
    }
  });

  it("answers of a zone complete, each ECU for itself, negative ones among them", () => {
    const responses = [
      { ecu_id: "A", response_data: "7F2231" },
      { ecu_id: "B", response_data: "62F190" },
    ];
    expect(outcomeOf(response({ responses }), false)).toEqual({ status: "completed", responses });
    expect(outcomeOf(response({ responses: [] }), false)).toEqual({
      status: "completed",
      responses: [],
    });
  });

  it.each([
    ["UDS_TIMEOUT", "timeout", "retry"],
    ["DOIP_CONNECT", "network_error", "retry"],
    ["DOIP_NACK", "network_error", "retry"],
    ["DOIP_UNREACHABLE", "network_error", "retry"],
    ["VEHICLE_BUSY", "denied", "retry"],
    ["PROGRAMMING_REFUSED", "denied", "denied"],
    ["ECU_UNKNOWN", "network_error", "network_error"],
    ["REQUEST_INVALID", "network_error", "network_error"],
    ["SOMETHING_NEW", "network_error", "retry"],
  ])("%s ends as %s, with attempts left as %s", (code, atEnd, before) => {
    const failed = response({ success: false, error: { code, message: "why" } });
    expect(outcomeOf(failed, false)).toEqual({
      status: atEnd,
      responses: [],
      error: { code, message: "why" },
    });
    const early = outcomeOf(failed, true);
    expect(early === "retry" ? early : early.status).toBe(before);
  });

  it("covers every code that a vehicle may give", () => {
    for (const code of Object.keys(diagnosticErrors)) {
      const failed = response({ success: false, error: { code, message: "" } });
      expect(outcomeOf(failed, false)).not.toBe("retry");
    }
  });

  it("a failure without a reason has one all the same", () => {
    expect(outcomeOf(response({ success: false }), false)).toMatchObject({
      status: "network_error",
      error: { code: "UNSPECIFIED" },
    });
  });

  it("silence is a retry while attempts are left, then a time-out", () => {
    expect(outcomeOfSilence(500, true)).toBe("retry");
    expect(outcomeOfSilence(500, false)).toMatchObject({
      status: "timeout",
      error: { code: "VEHICLE_TIMEOUT", message: expect.stringContaining("500 ms") as string },
    });
  });
});
