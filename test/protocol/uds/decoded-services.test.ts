import { describe, expect, test } from "vitest";
import { buildCatalogues } from "#protocol/uds/catalogue.ts";
import { decodeExchange } from "#protocol/uds/decode.ts";
import type { DecodedValue } from "#protocol/uds/decoded-fields.ts";
import { serviceTable } from "#protocol/uds/service.ts";

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");

const catalogue = buildCatalogues([
  {
    definitions: {
      dids: [{ did: 0x0300, name: "valve", codec: { kind: "uint", length: 1, unit: "%" } }],
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

const decode = (request: string, response?: string) =>
  decodeExchange(hex(request), response === undefined ? undefined : hex(response), catalogue);

/** `name=value` of each. */
const shown = (values: readonly DecodedValue[] | undefined) =>
  (values ?? []).map(
    ({ name, value }) => `${name}=${typeof value === "object" ? JSON.stringify(value) : value}`,
  );

const cert = "0002 c0de";

describe("requests", () => {
  test.each<[request: string, values: string[]]>([
    ["10 03", []],
    ["11 01", []],
    ["14 ffffff", ["groupOfDTC=all"]],
    ["14 ffff33 01", ["groupOfDTC=FFFF33", "MemorySelection=01"]],
    ["19 02 0c", ["DTCStatusMask=0C"]],
    ["19 04 056216 ff", ["DTC=056216", "DTCSnapshotRecordNumber=FF"]],
    ["19 19 056216 01 02", ["DTC=056216", "DTCExtDataRecordNumber=01", "MemorySelection=02"]],
    ["19 0a", []],
    ["22 f190", []],
    [
      "23 14 00001000 20",
      ["addressAndLengthFormatIdentifier=20", "memoryAddress=4096", "memorySize=32"],
    ],
    ["24 f190", []],
    ["27 03", []],
    ["27 04 c0ffee", ["securityKey=C0FFEE"]],
    ["28 03 01", ["communicationType=01"]],
    ["28 04 01 000a", ["communicationType=01", "nodeIdentificationNumber=000A"]],
    [`29 01 00 ${cert} 0000`, ["communicationConfiguration=00", "certificateClient=C0DE"]],
    [`29 03 ${cert} 0000`, ["proofOfOwnershipClient=C0DE"]],
    [`29 01 00 00ff c0de`, ["communicationConfiguration=00", "undecoded=00FFC0DE"]],
    ["29 08", []],
    [
      "2a 01 10 11",
      ["transmissionMode=slow", "periodicDataIdentifier=10", "periodicDataIdentifier=11"],
    ],
    [
      "2c 01 f300 f190 01 04",
      [
        "dynamicallyDefinedDataIdentifier=F300",
        "sourceDataIdentifier=F190",
        "positionInSourceDataRecord=1",
        "memorySize=4",
      ],
    ],
    [
      "2c 02 f300 12 0100 04 0200 08",
      [
        "dynamicallyDefinedDataIdentifier=F300",
        "addressAndLengthFormatIdentifier=18",
        "memoryAddress=256",
        "memorySize=4",
        "memoryAddress=512",
        "memorySize=8",
      ],
    ],
    ["2c 03", []],
    ["2e 0300 32", ["valve=50"]],
    ["2e 9999 32", ["unknown=32"]],
    [
      "2f 0300 03 32 ff",
      ["inputOutputControlParameter=shortTermAdjustment", "valve=50", "controlEnableMaskRecord=FF"],
    ],
    ["2f 0300 00", ["inputOutputControlParameter=returnControlToECU"]],
    ["31 01 0300 04", ["cells=4"]],
    ["31 01 0300", []],
    ["31 01 9999 0102", ["routineControlOptionRecord=0102"]],
    [
      "34 00 44 00000000 00000100",
      [
        "dataFormatIdentifier=00",
        "addressAndLengthFormatIdentifier=68",
        "memoryAddress=0",
        "memorySize=256",
      ],
    ],
    [
      "35 00 11 10 20",
      [
        "dataFormatIdentifier=00",
        "addressAndLengthFormatIdentifier=17",
        "memoryAddress=16",
        "memorySize=32",
      ],
    ],
    ["36 01 aabb", ["blockSequenceCounter=1", "transferRequestParameterRecord=AABB"]],
    ["37", []],
    [
      "38 01 0005 2f612e62 63 00 02 0010 0008",
      [
        "modeOfOperation=addFile",
        "filePathAndNameLength=5",
        "filePathAndName=/a.bc",
        "dataFormatIdentifier=00",
        "fileSizeParameterLength=2",
        "fileSizeUnCompressed=16",
        "fileSizeCompressed=8",
      ],
    ],
    [
      "38 02 0002 2f61",
      ["modeOfOperation=deleteFile", "filePathAndNameLength=2", "filePathAndName=/a"],
    ],
    [
      "3d 12 1000 02 cafe",
      [
        "addressAndLengthFormatIdentifier=18",
        "memoryAddress=4096",
        "memorySize=2",
        "dataRecord=CAFE",
      ],
    ],
    ["3e 80", []],
    ["83 04 01", ["timingParameterRequestRecord=01"]],
    ["84 0102", ["securityDataRequestRecord=0102"]],
    ["85 02 ffffff", ["DTCSettingControlOptionRecord=FFFFFF"]],
    [
      "86 43 02 f190",
      ["storageState=storeEvent", "eventWindowTime=02", "eventTypeAndServiceToRespondTo=F190"],
    ],
    ["87 01 05", ["linkControlModeIdentifier=05"]],
    ["87 03", []],
    ["10 03 ff", ["undecoded=FF"]],
    ["ba 0102", []],
  ])("%s", (request, values) => {
    expect(shown(decode(request).request_values)).toEqual(values);
  });

  test("each service of the table is here", () => {
    for (const { sid, name } of serviceTable)
      expect(decode(sid.toString(16)).service.name).toBe(name);
  });

  test("a security level has its name, for seed and key", () => {
    expect(decode("2703").security_level).toBe("calibration");
    expect(decode("2704c0").security_level).toBe("calibration");
    expect(decode("2701")).not.toHaveProperty("security_level");
    expect(decode("1003")).not.toHaveProperty("security_level");
  });
});

describe("positive responses", () => {
  test.each<[request: string, response: string, values: string[]]>([
    ["10 03", "50 03 0032 01f4", ["P2=50", "P2*=5000"]],
    ["11 01", "51 01", []],
    ["11 04", "51 04 0f", ["powerDownTime=15"]],
    ["11 04", "51 04 ff", ["powerDownTime=unknown"]],
    ["14 ffffff", "54", []],
    [
      "19 01 ff",
      "59 01 ff 01 0007",
      ["DTCStatusAvailabilityMask=FF", "DTCFormatIdentifier=ISO 14229-1", "DTCCount=7"],
    ],
    ["23 11 10 02", "63 cafe", ["dataRecord=CAFE"]],
    ["24 f190", "64 f190 6101", ["scalingByteRecord=6101"]],
    ["27 03", "67 03 01020304", ["seed=01020304"]],
    ["27 04 c0", "67 04", []],
    ["28 03 01", "68 03", []],
    [
      `29 01 00 ${cert} 0000`,
      "69 01 11 0002 aaaa 0000",
      [
        "authenticationReturnParameter=certificate verified, ownership verification necessary",
        "challengeServer=AAAA",
      ],
    ],
    ["29 08", "69 08 02", ["authenticationReturnParameter=authentication configuration APCE"]],
    ["2a 01 10", "6a", []],
    ["2c 01 f300 f190 01 04", "6c 01 f300", ["dynamicallyDefinedDataIdentifier=F300"]],
    ["2e 0300 32", "6e 0300", []],
    [
      "2f 0300 03 32",
      "6f 0300 03 32",
      ["inputOutputControlParameter=shortTermAdjustment", "valve=50"],
    ],
    ["31 01 0300 04", "71 01 0300 0021", ["spread=33"]],
    ["31 01 0300 04", "71 01 0300 002100", ["spread=33", "undecoded=00"]],
    ["31 03 9999", "71 03 9999 00", ["routineStatusRecord=00"]],
    ["34 00 11 10 20", "74 20 0ffa", ["lengthFormatIdentifier=32", "maxNumberOfBlockLength=4090"]],
    ["36 01 aabb", "76 01", ["blockSequenceCounter=1"]],
    ["37", "77 1234", ["transferResponseParameterRecord=1234"]],
    [
      "38 04 0002 2f61 00",
      "78 04 02 0ffa 00 0001 10 08",
      [
        "modeOfOperation=readFile",
        "lengthFormatIdentifier=2",
        "maxNumberOfBlockLength=4090",
        "dataFormatIdentifier=00",
        "fileSizeOrDirInfoParameterLength=1",
        "fileSizeUncompressedOrDirInfoLength=16",
        "fileSizeCompressed=8",
      ],
    ],
    [
      "3d 12 1000 02 cafe",
      "7d 12 1000 02",
      ["addressAndLengthFormatIdentifier=18", "memoryAddress=4096", "memorySize=2"],
    ],
    ["3e 00", "7e 00", []],
    ["3e 00", "7e 00 aa", ["undecoded=AA"]],
    ["83 03", "c3 03 0032", ["timingParameterResponseRecord=0032"]],
    ["84 01", "c4 02", ["securityDataResponseRecord=02"]],
    ["85 02", "c5 02", []],
    [
      "86 05 02",
      "c6 05 00 02 aa",
      ["numberOfIdentifiedEvents=0", "eventWindowTime=02", "eventTypeAndServiceToRespondTo=AA"],
    ],
    ["87 03", "c7 03", []],
  ])("%s → %s", (request, response, values) => {
    const decoded = decode(request, response);
    expect(decoded.outcome).toBe("positive");
    expect(shown(decoded.values)).toEqual(values);
  });
});

describe("reports of trouble codes", () => {
  const worn = {
    code: "P0A7F-00",
    raw: "0A7F00",
    description: "Pack worn",
    severity: "check_at_next_halt",
  };
  const confirmed = { ...worn, status: "0x08", status_bits: ["confirmedDTC"] };
  const supply = { did: "0x0100", name: "supplyVoltage", value: 12_600, unit: "mV", raw: "3138" };
  const valve = { did: "0x0300", name: "valve", value: 50, unit: "%", raw: "32" };

  test.each<[request: string, response: string, dtcs: unknown[]]>([
    ["19 02 ff", "59 02 ff 0a7f00 08", [confirmed]],
    ["19 02 ff", "59 02 ff", []],
    ["19 17 ff 01", "59 17 01 ff 0a7f00 08", [confirmed]],
    ["19 03", "59 03 0a7f00 02", [{ ...worn, snapshots: [{ record: 2, values: [] }] }]],
    [
      "19 04 0a7f00 ff",
      "59 04 0a7f00 08 01 02 0100 3138 0300 32 02 01 0300 32",
      [
        {
          ...confirmed,
          snapshots: [
            { record: 1, values: [supply, valve] },
            { record: 2, values: [valve] },
          ],
        },
      ],
    ],
    ["19 04 0a7f00 01", "59 04 0a7f00 08", [{ ...confirmed, snapshots: [] }]],
    [
      "19 05 01",
      "59 05 01 0a7f00 08 01 0300 32",
      [{ ...confirmed, snapshots: [{ record: 1, values: [valve] }] }],
    ],
    [
      "19 06 0a7f00 ff",
      "59 06 0a7f00 08 01 03 02 28",
      [
        {
          ...confirmed,
          extended_data: [
            { record: 1, values: [{ name: "occurrences", value: 3, raw: "03" }] },
            { record: 2, values: [{ name: "aging", value: 40, raw: "28" }] },
          ],
        },
      ],
    ],
    [
      "19 06 0a7f00 90",
      "59 06 0a7f00 08 90 0102",
      [
        {
          ...confirmed,
          extended_data: [
            { record: 0x90, values: [{ name: "unknown", value: "0102", raw: "0102" }] },
          ],
        },
      ],
    ],
    [
      "19 16 01",
      "59 16 01 0a7f00 08 03",
      [
        {
          ...confirmed,
          extended_data: [{ record: 1, values: [{ name: "occurrences", value: 3, raw: "03" }] }],
        },
      ],
    ],
    [
      "19 08 ff ff",
      "59 08 ff 80 10 0a7f00 08",
      [{ ...confirmed, severity: "check_immediately", functional_unit: "0x10" }],
    ],
    ["19 14", "59 14 0a7f00 80", [{ ...worn, fault_detection_counter: -128 }]],
    [
      "19 42 33 ff ff",
      "59 42 33 ff ff 04 20 0a7f00 08",
      [{ ...confirmed, severity: "maintenance_only" }],
    ],
    ["19 55 33", "59 55 33 ff 04 0a7f00 08", [confirmed]],
  ])("%s → %s", (request, response, dtcs) => {
    expect(decode(request, response).dtcs).toEqual(dtcs);
  });

  test("a record whose length nobody knows takes what is left", () => {
    const [dtc] = decode("19040a7f0001", "59040a7f000801 02 9999 0102030032").dtcs ?? [];
    expect(dtc?.snapshots).toEqual([
      {
        record: 1,
        values: [{ did: "0x9999", name: "unknown", value: "0102030032", raw: "0102030032" }],
      },
    ]);
  });

  test("what is cut stays raw", () => {
    expect(decode("1902ff", "5902ff0a7f0008c121").values).toContainEqual({
      name: "undecoded",
      value: "C121",
      raw: "C121",
    });
    expect(decode("19040a7f0001", "59040a7f").dtcs).toEqual([]);
  });

  test("more trouble codes than any ECU has stay raw", () => {
    const { dtcs = [], values = [] } = decode("1902ff", `5902ff${"0a7f0008".repeat(2_000)}`);
    expect(dtcs).toHaveLength(1_024);
    expect(values.at(-1)?.raw).toHaveLength(2 * 4 * 976);
  });
});
