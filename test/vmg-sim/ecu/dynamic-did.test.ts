import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ecuRig, type EcuRig } from "./ecu-rig.ts";
import { testDefinition } from "./test-definition.ts";

let rig: EcuRig;

beforeEach(async () => {
  rig = await ecuRig({ definition: testDefinition });
});

afterEach(() => rig.dispose());

describe("2C define dynamically", () => {
  test("parts of DIDs, added to by a second definition", async () => {
    expect(await rig.ask("2c01f3000304020203020101")).toEqual(["6c01f300"]);
    expect(await rig.ask("22f300")).toEqual(["62f300020332"]);
    expect(await rig.ask("2c01f300f2010201")).toEqual(["6c01f300"]);
    expect(await rig.ask("22f300f190")).toEqual([
      `62f30002033234f190${Buffer.from("WAUZZZ8V0JA000001").toString("hex")}`,
    ]);
  });

  test("memory", async () => {
    expect(await rig.ask("2c02f30112100002100703")).toEqual(["6c02f301"]);
    expect(await rig.ask("22f301")).toEqual(["62f3010001030001"]);
  });

  test("for reading it periodically", async () => {
    await rig.expectPositive("1003");
    expect(await rig.ask("2c01f2100304030103020101")).toEqual(["6c01f210"]);
    const heard = await rig.ask("2a0310");
    rig.clock.advance(50);
    expect(heard).toEqual(["6a", "100332"]);
    // While it is sent it is not changed; cleared, it is sent no more.
    expect(await rig.ask("2c01f2100304030103020101")).toEqual(["7f2c22"]);
    expect(await rig.ask("2c03f210")).toEqual(["6c03f210"]);
    rig.clock.advance(200);
    expect(heard).toEqual(["6a", "100332"]);
    expect(await rig.ask("22f210")).toEqual(["7f2231"]);
  });

  test("follows what its sources are", async () => {
    await rig.expectPositive("1003");
    await rig.expectPositive("2c01f3000305010203050101");
    await rig.expectPositive("2e030101", "2c01f30103010101");
    expect(await rig.ask("22f301")).toEqual(["62f30101"]);
    await rig.expectPositive("2e030100");
    expect(await rig.ask("22f301")).toEqual(["62f30100"]);
  });

  test("is locked again with its sources", async () => {
    await rig.expectPositive("1003");
    expect(await rig.ask("2c01f30003030104")).toEqual(["7f2c33"]);
    await rig.unlock(3);
    await rig.expectPositive("2c01f30003030104");
    expect(await rig.ask("22f300")).toEqual(["62f30001020304"]);
    await rig.expectPositive("1003");
    expect(await rig.ask("22f300")).toEqual(["7f2233"]);
  });

  test("one is cleared, then all", async () => {
    for (const did of ["f300", "f301", "f302"]) await rig.expectPositive(`2c01${did}03010101`);
    expect(await rig.ask("2c03f301")).toEqual(["6c03f301"]);
    expect(await rig.ask("22f300f301f302")).toEqual(["62f30000f30200"]);
    expect(await rig.ask("2c03")).toEqual(["6c03"]);
    expect(await rig.ask("22f300f301f302")).toEqual(["7f2231"]);
    // One that is not defined may be cleared all the same.
    expect(await rig.ask("2c03f301")).toEqual(["6c03f301"]);
  });

  test.each([
    ["a session that stays", ["1003"], ["1003", "1002"], true],
    ["the default session", ["1003"], ["1001"], false],
    ["a reset", [], ["1101"], false],
  ])("lasts through %s: see the last column", async (_, before, requests, isThere) => {
    await rig.expectPositive(...before, "2c01f30003010101", ...requests);
    expect(await rig.ask("22f300")).toEqual([isThere ? "62f30000" : "7f2231"]);
  });

  test("does not outlive S3", async () => {
    await rig.expectPositive("1003", "2c01f30003010101");
    rig.clock.advance(5_000);
    expect(await rig.ask("22f300")).toEqual(["7f2231"]);
  });

  test.each([
    ["a DID outside F2xx and F3xx", "2c01f40003010101", "7f2c31"],
    ["a DID that the ECU has", "2c01f20103010101", "7f2c31"],
    ["a source that it does not have", "2c01f300eeee0101", "7f2c31"],
    ["a position behind the record", "2c01f30003010201", "7f2c31"],
    ["more than the record has", "2c01f30003010102", "7f2c31"],
    ["position 0", "2c01f30003010001", "7f2c31"],
    ["a size of 0", "2c01f30003010100", "7f2c31"],
    ["memory that only uploads", "2c02f30012800001", "7f2c31"],
    ["memory that is locked", "2c02f30012900001", "7f2c33"],
    ["a field of no bytes", "2c02f30010900001", "7f2c31"],
    ["sources cut short", "2c01f3000301010103", "7f2c13"],
    ["memory cut short", "2c02f300121000", "7f2c13"],
    ["memory with a rest", "2c02f3001210000100", "7f2c13"],
    ["no source", "2c01f300", "7f2c13"],
    ["more than a record holds", "2c01f300" + "03060196".repeat(2), "7f2c31"],
    ["more sources than it takes", "2c01f300" + "03010101".repeat(33), "7f2c31"],
    ["a sub-function that is none", "2c04f300", "7f2c12"],
    ["no sub-function", "2c", "7f2c13"],
    ["half a DID to clear", "2c03f3", "7f2c13"],
    ["a DID to clear that can't be one", "2c030301", "7f2c31"],
  ])("is refused: %s", async (_, request, answer) => {
    expect(await rig.ask(request)).toEqual([answer]);
  });

  test("no DID is made of one that was defined", async () => {
    await rig.expectPositive("2c01f30003010101");
    expect(await rig.ask("2c01f301f3000101")).toEqual(["7f2c31"]);
  });

  test("not more than it has room for", async () => {
    for (let id = 0; id < 16; id++) {
      await rig.expectPositive(`2c01f3${id.toString(16).padStart(2, "0")}03010101`);
    }
    expect(await rig.ask("2c01f31003010101")).toEqual(["7f2c31"]);
    expect(await rig.ask("2c01f30003010101")).toEqual(["6c01f300"]);
  });

  test("without an answer where none is wanted", async () => {
    expect(await rig.ask("2c81f30003010101")).toEqual([]);
    expect(await rig.ask("22f300")).toEqual(["62f30000"]);
  });
});
