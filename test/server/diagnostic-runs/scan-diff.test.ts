import { describe, expect, it } from "vitest";
import type { ScannedEcu } from "#protocol/mqtt/diagnostic-event.ts";
import { standardCatalogue } from "#protocol/uds/catalogue.ts";
import { diffScans, freshDtcs } from "#server/diagnostic-runs/scan-diff.ts";
import { asScanEcu } from "#server/diagnostic-runs/scan-view.ts";

const ecu = (scanned: Partial<ScannedEcu>) =>
  asScanEcu({ ecu_id: "ECU_001", dids: {}, ...scanned }, standardCatalogue);
/** The answer to 19 02 FF: the mask, then each trouble code with its status. */
const dtcs = (...each: string[]) => `5902FF${each.join("")}`;
const text = (value: string) => Buffer.from(value).toString("hex").toUpperCase();

const none = { ecus_missing: [], ecus_new: [], dtcs_unread: [], dtcs: [], dids: [] };

describe("what an ECU said", () => {
  it("is decoded, and an answer that is none is no list without trouble codes", () => {
    expect(ecu({ dids: { F195: text("1.2.3"), F190: "41" }, dtcs: dtcs("056216", "2F") })).toEqual({
      ecu_id: "ECU_001",
      dids: [
        { did: "0xF190", name: expect.any(String) as string, value: expect.anything(), raw: "41" },
        {
          did: "0xF195",
          name: expect.any(String) as string,
          value: "1.2.3",
          raw: text("1.2.3"),
        },
      ],
      dtcs_raw: "5902FF0562162F",
      dtcs: [
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
      ],
      error: null,
    });
    expect(ecu({ dtcs: dtcs() }).dtcs).toEqual([]);
    expect(ecu({ dtcs: "7F1922" })).toMatchObject({ dtcs_raw: "7F1922", dtcs: null });
    expect(ecu({})).toMatchObject({ dtcs_raw: null, dtcs: null });
  });
});

describe("two scans", () => {
  it("that are the same differ in nothing", () => {
    const same = [ecu({ dids: { F195: "31" }, dtcs: dtcs("05621608") })];
    expect(diffScans(same, same)).toEqual(none);
    expect(diffScans([], [])).toEqual(none);
  });

  it("differ in trouble codes that are new, gone, or of another status", () => {
    const before = [ecu({ dtcs: dtcs("05621608", "05631608", "C0351109") })];
    const after = [ecu({ dtcs: dtcs("05631608", "C035112E", "91000009") })];
    expect(diffScans(before, after)).toEqual({
      ...none,
      dtcs: [
        {
          ecu_id: "ECU_001",
          code: "P0562-16",
          raw: "056216",
          description: "System voltage low",
          change: "gone",
          before: "0x08",
          after: null,
          bits_set: [],
          bits_cleared: ["confirmedDTC"],
        },
        {
          ecu_id: "ECU_001",
          code: "B1100-00",
          raw: "910000",
          change: "new",
          before: null,
          after: "0x09",
          bits_set: ["testFailed", "confirmedDTC"],
          bits_cleared: [],
        },
        expect.objectContaining({
          raw: "C03511",
          change: "status",
          before: "0x09",
          after: "0x2E",
          bits_set: ["testFailedThisOperationCycle", "pendingDTC", "testFailedSinceLastClear"],
          bits_cleared: ["testFailed"],
        }) as object,
      ],
    });
  });

  it("differ in DIDs, old beside new, raw and decoded", () => {
    const before = [ecu({ dids: { F195: text("1.0.0"), F18C: "53", FD00: "01" } })];
    const after = [ecu({ dids: { F195: text("2.0.0"), F18C: "53", FD01: "02" } })];
    const { dids } = diffScans(before, after);
    expect(dids).toMatchObject([
      {
        ecu_id: "ECU_001",
        did: "0xF195",
        before: { value: "1.0.0", raw: text("1.0.0") },
        after: { value: "2.0.0", raw: text("2.0.0") },
      },
      { did: "0xFD00", name: "unknown", before: { raw: "01" }, after: null },
      { did: "0xFD01", before: null, after: { raw: "02" } },
    ]);
    expect(dids).toHaveLength(3);
  });

  it("differ in ECUs; codes that one of them could not read are not gone", () => {
    const before = [ecu({ dtcs: dtcs("05621608") }), ecu({ ecu_id: "OLD", dtcs: dtcs() })];
    const after = [ecu({ dtcs: "7F1922" }), ecu({ ecu_id: "NEW", dtcs: dtcs("05621608") })];
    expect(diffScans(before, after)).toEqual({
      ...none,
      ecus_missing: ["OLD"],
      ecus_new: ["NEW"],
      dtcs_unread: ["ECU_001"],
    });
  });
});

describe("trouble codes that an update has brought", () => {
  it.for([
    ["none before, failed now", [], ["05621609"], ["P0562-16"]],
    ["none before, pending now", [], ["05621604"], ["P0562-16"]],
    ["only tested before, confirmed now", ["05621650"], ["05621608"], ["P0562-16"]],
    ["none before, only not tested now", [], ["05621650"], []],
    ["confirmed before, failed now", ["05621608"], ["05621609"], []],
    ["gone", ["05621609"], [], []],
  ] as const)("%s", ([, before, after, codes]) => {
    const fresh = freshDtcs([ecu({ dtcs: dtcs(...before) })], [ecu({ dtcs: dtcs(...after) })]);
    expect(fresh).toEqual(codes.map((code) => ({ ecu_id: "ECU_001", code })));
  });

  it("are not those of an ECU that could not be read before, or was not there", () => {
    const after = [ecu({ dtcs: dtcs("05621609") })];
    expect(freshDtcs([ecu({})], after)).toEqual([]);
    expect(freshDtcs([], after)).toEqual([]);
  });
});
