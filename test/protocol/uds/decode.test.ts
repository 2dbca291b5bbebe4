import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { buildCatalogues } from "#protocol/uds/catalogue.ts";
import { decodeExchange } from "#protocol/uds/decode.ts";
import { dtcStatusNames, dtcText, parseDtc } from "#protocol/uds/dtc.ts";
import { serviceTable } from "#protocol/uds/service.ts";

const decode = (request: string, response?: string) =>
  decodeExchange(
    Buffer.from(request, "hex"),
    response === undefined ? undefined : Buffer.from(response, "hex"),
  );

const battery = buildCatalogues([
  {
    definitions: {
      dids: [
        {
          did: 0x0210,
          name: "cell",
          codec: {
            kind: "struct",
            fields: [
              { name: "voltage", codec: { kind: "uint", length: 2, unit: "mV" } },
              { name: "label", codec: { kind: "ascii" } },
            ],
          },
        },
      ],
      dtcs: [{ code: "P0A7F-00", text: "Pack worn", severity: "check_at_next_halt" }],
      rids: [
        {
          rid: 0x0300,
          name: "balance",
          option: [{ name: "cells", codec: { kind: "uint", length: 1 } }],
          result: [{ name: "spread", codec: { kind: "uint", length: 2, unit: "mV" } }],
        },
      ],
      extended_data: [
        { record: 1, name: "occurrences", codec: { kind: "uint", length: 1 } },
        { record: 2, name: "aging", codec: { kind: "uint", length: 1 } },
      ],
      security_levels: [{ level: 3, name: "calibration" }],
    },
  },
]).of(undefined);

const joined = (...parts: string[]) => parts.join("");

describe("decoding for operators", () => {
  test("a DID with its text", () => {
    const vin = Buffer.from("WAUZZZ8V0JA000001").toString("hex");
    expect(decode("22f190", `62f190${vin}`)).toEqual({
      service: { id: "0x22", name: "ReadDataByIdentifier" },
      did: { id: "0xF190", name: "VIN" },
      outcome: "positive",
      request: "22F190",
      response: `62F190${vin.toUpperCase()}`,
      values: [{ did: "0xF190", name: "VIN", value: "WAUZZZ8V0JA000001", raw: vin.toUpperCase() }],
    });
  });

  test("several DIDs, with lengths from their codecs", () => {
    const { values } = decode(
      "220100010101020103",
      joined("62", "01003138", "0101ffce", "010219", "010300000e10"),
    );
    expect(values).toEqual([
      { did: "0x0100", name: "supplyVoltage", value: 12_600, unit: "mV", raw: "3138" },
      { did: "0x0101", name: "temperature", value: -5, unit: "°C", raw: "FFCE" },
      { did: "0x0102", name: "processorLoad", value: 25, unit: "%", raw: "19" },
      { did: "0x0103", name: "operatingTime", value: 3_600, unit: "s", raw: "00000E10" },
    ]);
  });

  test("several DIDs without fixed lengths, parted where the next one begins", () => {
    const { values } = decode("22f195f18c", joined("62", "f195312e30", "f18c5337"));
    expect(values).toMatchObject([
      { did: "0xF195", value: "1.0" },
      { did: "0xF18C", value: "S7" },
    ]);
  });

  test("stays raw where the place of the next DID is not certain", () => {
    const { values } = decode("22f195f18c", joined("62", "f195f18c31", "f18c5337"));
    expect(values).toMatchObject([{ did: "0xF195", raw: "F18C31F18C5337" }]);
  });

  test("a DID without a codec stays hex", () => {
    expect(decode("221234", "6212340badc0de")).toMatchObject({
      did: { id: "0x1234", name: "unknown" },
      values: [{ did: "0x1234", name: "unknown", value: "0BADC0DE", raw: "0BADC0DE" }],
    });
  });

  test("a record that does not fit its codec stays hex", () => {
    expect(decode("220100", "6201000102030405").values).toEqual([
      { did: "0x0100", name: "supplyVoltage", value: "0102030405", raw: "0102030405" },
    ]);
  });

  test("a negative response with what to do about it", () => {
    expect(decode("2ef1992026", "7f2e33")).toMatchObject({
      service: { id: "0x2E", name: "WriteDataByIdentifier" },
      did: { id: "0xF199", name: "programmingDate" },
      outcome: "negative",
      nrc: { code: "0x33", name: "securityAccessDenied", try: /27/ },
    });
  });

  test("78, an unrelated response, no response", () => {
    expect(decode("3101ff00", "7f3178")).toMatchObject({
      outcome: "pending",
      rid: { id: "0xFF00", name: "eraseMemory" },
      sub_function: { id: "0x01", name: "startRoutine" },
    });
    expect(decode("22f190", "7e00")).toMatchObject({ outcome: "unrelated", response: "7E00" });
    expect(decode("22f190")).toMatchObject({ outcome: "none" });
  });

  test("stored trouble codes", () => {
    expect(decode("1902ff", "5902ff0562162fc121000c").dtcs).toEqual([
      {
        code: "P0562-16",
        raw: "056216",
        description: "System voltage low",
        status: "0x2F",
        status_bits: [
          "testFailed",
          "testFailedThisOperationCycle",
          "pendingDTC",
          "confirmedDTC",
          "testFailedSinceLastClear",
        ],
      },
      {
        code: "U0121-00",
        raw: "C12100",
        description: "Lost communication with anti-lock brake system control module",
        status: "0x0C",
        status_bits: ["pendingDTC", "confirmedDTC"],
      },
    ]);
  });

  test.each([
    ["1901ff", "5901ff010007", { name: "DTCCount", value: 7 }],
    ["1003", "5003003201f4", { name: "P2", value: 50, unit: "ms" }],
    ["1003", "5003003201f4", { name: "P2*", value: 5_000, unit: "ms" }],
    ["2701", "670101020304", { name: "seed", value: "01020304" }],
    ["31010202", "7101020201", { name: "routineStatusRecord", value: "01" }],
    ["34004400000000000000ff", "7420ffff", { name: "maxNumberOfBlockLength", value: 65_535 }],
  ])("%s → %s", (request, response, value) => {
    expect(decode(request, response).values).toContainEqual(expect.objectContaining(value));
  });

  test("the suppress bit is no part of the sub-function", () => {
    expect(decode("3e80").sub_function).toEqual({ id: "0x00", name: "zeroSubFunction" });
  });

  test("a sub-function of the manufacturer's or the supplier's is called so", () => {
    expect(decode("1050").sub_function?.name).toBe("vehicleManufacturerSpecific");
    expect(decode("1170").sub_function?.name).toBe("systemSupplierSpecific");
    expect(decode("1950").sub_function?.name).toBe("unknown");
    expect(decode("2743").sub_function?.name).toBe("unknown");
    expect(decode("2761").sub_function?.name).toBe("requestSeed");
    expect(decode("8645ff").sub_function?.name).toBe("startResponseOnEvent");
  });

  test("a DID that the ECU left out does not hide the others", () => {
    const { values, dids } = decode("220100010212340103", "6201003138010300000010");
    expect(dids).toHaveLength(4);
    expect(values).toMatchObject([
      { did: "0x0100", value: 12_600 },
      { did: "0x0103", value: 16 },
    ]);
  });

  test("any bytes decode to their own hex, and to JSON", () => {
    const bytes = fc.uint8Array({ maxLength: 60 });
    const likely = fc
      .tuple(fc.constantFrom(...serviceTable.map(({ sid }) => sid)), bytes, bytes)
      .chain(([sid, request, response]) =>
        fc
          .nat(4)
          .map((echoed) => [
            Uint8Array.of(sid, ...request),
            Uint8Array.of(sid + 0x40, ...request.slice(0, echoed), ...response),
          ]),
      );
    fc.assert(
      fc.property(fc.oneof(fc.tuple(bytes, bytes), likely), ([request, response]) => {
        const decoded = decodeExchange(request ?? new Uint8Array(0), response, battery);
        expect(decoded.request).toBe(
          Buffer.from(request ?? [])
            .toString("hex")
            .toUpperCase(),
        );
        expect(JSON.parse(JSON.stringify(decoded))).toEqual(decoded);
      }),
      { numRuns: 3_000 },
    );
  });
});

describe("trouble codes", () => {
  test.each([
    [0x056216, "P0562-16"],
    [0x0a1f00, "P0A1F-00"],
    [0x403516, "C0035-16"],
    [0x900011, "B1000-11"],
    [0xc12100, "U0121-00"],
    [0xffffff, "U3FFF-FF"],
    [0x000000, "P0000-00"],
  ])("%i is %s", (dtc, code) => {
    expect(dtcText(dtc)).toBe(code);
    expect(parseDtc(code)).toBe(dtc);
  });

  test("every three bytes have their own text", () => {
    fc.assert(
      fc.property(fc.nat(0xffffff), (dtc) => {
        expect(parseDtc(dtcText(dtc))).toBe(dtc);
      }),
    );
  });

  test.each(["", "P0562", "X0562-16", "P4562-16", "P0562-1", "p0562-16", " P0562-16"])(
    "%j is none",
    (code) => {
      expect(parseDtc(code)).toBeUndefined();
    },
  );

  test("status bits are named from bit 0 up", () => {
    expect(dtcStatusNames(0)).toEqual([]);
    expect(dtcStatusNames(0x81)).toEqual(["testFailed", "warningIndicatorRequested"]);
    expect(dtcStatusNames(0xff)).toHaveLength(8);
  });
});
