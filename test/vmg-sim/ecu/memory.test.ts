import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ecuRig, type EcuRig } from "./ecu-rig.ts";
import { testDefinition } from "./test-definition.ts";

let rig: EcuRig;

beforeEach(async () => {
  rig = await ecuRig({ definition: testDefinition, max_block_length: 402 });
});

afterEach(() => rig.dispose());

async function unlocked(): Promise<void> {
  await rig.expectPositive("1003");
  await rig.unlock(3);
}

describe("23 read memory", () => {
  test.each([
    ["a part of a region", "2312100206", "63020300010203"],
    ["its end", "231210fc04", "6300010203"],
    ["by long fields", "23440000100000000002", "630001"],
    ["beyond its end", "231210fd04", "7f2331"],
    ["before it", "23120fff02", "7f2331"],
    ["nothing", "2312100000", "7f2331"],
    ["what is only for upload", "2312800001", "7f2331"],
    ["what is locked", "2312900001", "7f2333"],
    ["a field of no bytes", "2301100006", "7f2331"],
    ["an address of too many bytes", "231f" + "00".repeat(16), "7f2331"],
    ["a request cut short", "23121000", "7f2313"],
    ["a request too long", "231210000600", "7f2313"],
    ["without a length", "2312", "7f2313"],
  ])("%s", async (_, request, answer) => {
    expect(await rig.ask(request)).toEqual([answer]);
  });

  test("what is locked opens with its level, and what does not fit is out of range", async () => {
    await unlocked();
    expect(await rig.ask("2312900004")).toEqual(["6377777777"]);
    expect(await rig.ask("23229000012b")).toEqual([`63${"77".repeat(299)}`]);
    expect(await rig.ask("23229000012c")).toEqual(["7f2331"]);
  });
});

describe("3D write memory", () => {
  test("is read back, and forgotten by a reset", async () => {
    await unlocked();
    expect(await rig.ask("3d12100203ddeeff")).toEqual(["7d12100203"]);
    expect(await rig.ask("2312100006")).toEqual(["630001ddeeff01"]);
    await rig.expectPositive("1101");
    expect(await rig.ask("2312100006")).toEqual(["63000102030001"]);
  });

  test.each([
    ["locked", "3d12100201dd", false, "7f3d33"],
    ["fewer bytes than announced", "3d12100203ddee", true, "7f3d13"],
    ["no bytes", "3d12100200", true, "7f3d13"],
    ["what only reads", "3d12900001dd", true, "7f3d31"],
  ])("is refused: %s", async (_, request, isUnlocked, answer) => {
    await rig.expectPositive("1003");
    if (isUnlocked) await rig.unlock(3);
    expect(await rig.ask(request)).toEqual([answer]);
  });
});

describe("35 request upload", () => {
  const LOG = "350022800003e8";
  const log = Buffer.alloc(1_000, Buffer.from("aabbcc", "hex")).toString("hex");

  test("hands over a region block by block", async () => {
    await rig.expectPositive("1003");
    expect(await rig.ask(LOG)).toEqual(["75200192"]);
    const first = (await rig.ask("3601"))[0] ?? "";
    expect(await rig.ask("3601")).toEqual([first]);
    const second = (await rig.ask("3602"))[0] ?? "";
    expect(await rig.ask("37")).toEqual(["7f3724"]);
    const third = (await rig.ask("3603"))[0] ?? "";
    expect(await rig.ask("3603")).toEqual([third]);
    expect([first, second, third].map((block) => block.slice(4)).join("")).toBe(log);
    expect(await rig.ask("3604")).toEqual(["7f3624"]);
    expect(await rig.ask("37")).toEqual(["77"]);
    expect(await rig.ask("37")).toEqual(["7f377f"]);
  });

  test.each([
    ["in the default session", [], LOG, "7f357f"],
    ["in another session than its own", ["1003", "1002"], LOG, "7f3531"],
    ["of what only reads", ["1003"], "350022100000ff", "7f3531"],
    ["compressed", ["1003"], "351022800003e8", "7f3531"],
    ["cut short", ["1003"], "35002280", "7f3513"],
    ["too long", ["1003"], `${LOG}00`, "7f3513"],
    ["beyond the region", ["1003"], "350022800003e9", "7f3531"],
    ["a second time", ["1003", LOG], LOG, "7f3522"],
    ["with a wrong counter", ["1003", LOG], "3602", "7f3673"],
    ["with data", ["1003", LOG], "360100", "7f3613"],
    ["with a longer end", ["1003", "35001280000a", "3601"], "3700", "7f3713"],
  ])("is refused %s", async (_, before, request, answer) => {
    await rig.expectPositive(...before);
    expect(await rig.ask(request)).toEqual([answer]);
  });

  test("counts blocks from FF on to 00", async () => {
    const small = await ecuRig({ definition: testDefinition, max_block_length: 5 });
    await small.expectPositive("1003", LOG);
    let all = "";
    for (let block = 1; block <= 334; block++) {
      const counter = (block & 0xff).toString(16).padStart(2, "0");
      const [answer = ""] = await small.ask(`36${counter}`);
      expect(answer.slice(0, 4)).toBe(`76${counter}`);
      all += answer.slice(4);
    }
    expect(all).toBe(log);
    await small.expectPositive("37");
    await small.dispose();
  });

  test.each(["1003", "1001"])("ends with a change of session, %s", async (request) => {
    await rig.expectPositive("1003", LOG, "3601", request);
    expect(await rig.ask("3602")).toEqual(["7f367f"]);
  });
});
