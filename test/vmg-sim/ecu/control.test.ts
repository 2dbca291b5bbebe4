import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ecuRig, type EcuRig } from "./ecu-rig.ts";
import { testDefinition } from "./test-definition.ts";

let rig: EcuRig;

beforeEach(async () => {
  rig = await ecuRig({ definition: testDefinition });
  await rig.expectPositive("1003");
});

afterEach(() => rig.dispose());

describe("2F input and output control", () => {
  test("adjusts, resets to the default, returns", async () => {
    expect(await rig.ask("2f03020328")).toEqual(["6f03020328"]);
    expect(await rig.ask("220302")).toEqual(["62030228"]);
    expect(await rig.ask("2f030201")).toEqual(["6f03020132"]);
    expect(await rig.ask("2f03020328")).toEqual(["6f03020328"]);
    expect(await rig.ask("2f030200")).toEqual(["6f03020032"]);
    expect(await rig.ask("220302")).toEqual(["62030232"]);
  });

  test("freezes a value that lives", async () => {
    const [frozen = ""] = await rig.ask("2f030002");
    rig.clock.advance(1_300);
    expect(await rig.ask("220300")).toEqual([`620300${frozen.slice(8)}`]);
    await rig.expectPositive("2f030000");
    rig.clock.advance(1_300);
    expect(await rig.ask("220300")).not.toEqual([`620300${frozen.slice(8)}`]);
  });

  test("returns to what was written, not to the default", async () => {
    await rig.unlock(3);
    await rig.expectPositive("2e030214", "2f03020328");
    expect(await rig.ask("2f030200")).toEqual(["6f03020014"]);
  });

  test("of several fields those that the mask names", async () => {
    await rig.unlock(3);
    expect(await rig.ask("2f0304030a0b0ca0")).toEqual(["6f0304030a020c"]);
    expect(await rig.ask("2f03040180")).toEqual(["6f03040101020c"]);
    expect(await rig.ask("2f03040020")).toEqual(["6f030400010203"]);
  });

  test("what the mask leaves out is not looked at", async () => {
    await rig.unlock(3);
    expect(await rig.ask("2f030403ff050540")).toEqual(["6f030403010503"]);
    expect(await rig.ask("2f030403ff050580")).toEqual(["7f2f31"]);
  });

  test.each([
    ["a DID without control", "2f030500", "7f2f31"],
    ["an unknown DID", "2feeee00", "7f2f31"],
    ["an option that is not offered", "2f030102", "7f2f31"],
    ["an option that is none", "2f030204", "7f2f31"],
    ["a value above its greatest", "2f0302035b", "7f2f31"],
    ["a byte without a word", "2f03010302", "7f2f31"],
    ["no value", "2f030203", "7f2f13"],
    ["a value with a rest", "2f0302032800", "7f2f13"],
    ["a mask where there is one field", "2f03020080", "7f2f13"],
    ["one that is locked", "2f030400", "7f2f33"],
    ["no option", "2f0302", "7f2f13"],
  ])("is refused: %s", async (_, request, answer) => {
    expect(await rig.ask(request)).toEqual([answer]);
  });

  test.each([
    ["no mask", "2f0304030a0b0c", "7f2f13"],
    ["a mask of a field that is not there", "2f0304030a0b0c10", "7f2f31"],
  ])("of several fields is refused: %s", async (_, request, answer) => {
    await rig.unlock(3);
    expect(await rig.ask(request)).toEqual([answer]);
  });

  test("is of no use in the default session, nor in another than its own", async () => {
    await rig.expectPositive("1002");
    expect(await rig.ask("2f030200")).toEqual(["7f2f31"]);
    await rig.expectPositive("1001");
    expect(await rig.ask("2f030200")).toEqual(["7f2f7f"]);
  });
});

describe("what a change of session undoes", () => {
  /** The lamp is held without a key, the valves with one; normal messages are off. */
  async function holdEverything(): Promise<void> {
    await rig.unlock(3);
    await rig.expectPositive("2f03010301", "2f0304030a0b0ce0", "280301", "8502");
  }

  test("from one other session to another: what needed the key", async () => {
    await holdEverything();
    await rig.expectPositive("1003");
    expect(await rig.ask("2203010304")).toEqual(["620301010304010203"]);
    expect(rig.ecu.communication.normal).toEqual({ receives: false, sends: false });
  });

  test("to a session that does not have it: what only the one before has", async () => {
    await rig.expectPositive("2f03020328", "2f03010301", "1002");
    expect(await rig.ask("2203020301")).toEqual(["62030232030101"]);
  });

  test.each([
    ["10 01", () => rig.expectPositive("1001")],
    [
      "S3",
      async () => {
        rig.clock.advance(5_000);
        await rig.expectPositive("3e00");
      },
    ],
    ["a reset", () => rig.expectPositive("1101")],
  ])("%s: everything", async (_, end) => {
    await holdEverything();
    await end();
    expect(await rig.ask("2203010304")).toEqual(["620301000304010203"]);
    expect(rig.ecu.communication).toEqual(all);
    await rig.expectPositive("1003");
    expect(await rig.ask("2f030400")).toEqual(["7f2f33"]);
  });
});

const on = { receives: true, sends: true };
const all = { normal: on, networkManagement: on };

describe("28 communication control", () => {
  test.each([
    ["280301", { normal: { receives: false, sends: false }, networkManagement: on }],
    ["280102", { normal: on, networkManagement: { receives: true, sends: false } }],
    ["2802f1", { normal: { receives: false, sends: true }, networkManagement: on }],
    [
      "280303",
      {
        normal: { receives: false, sends: false },
        networkManagement: { receives: false, sends: false },
      },
    ],
  ])("%s", async (request, state) => {
    expect(await rig.ask(request)).toEqual([`68${request.slice(2, 4)}`]);
    expect(rig.ecu.communication).toEqual(state);
    expect(await rig.ask("280003")).toEqual(["6800"]);
    expect(rig.ecu.communication).toEqual(all);
  });

  test.each([
    ["no kind of message", "280300", "7f2831"],
    ["a reserved kind", "280305", "7f2831"],
    ["a network that it is not on", "280331", "7f2831"],
    ["a sub-function that is none", "280401", "7f2812"],
    ["nothing", "2803", "7f2813"],
    ["nothing to a sub-function that is none", "2804", "7f2812"],
    ["a rest", "28030100", "7f2813"],
  ])("is refused: %s", async (_, request, answer) => {
    expect(await rig.ask(request)).toEqual([answer]);
    expect(rig.ecu.communication).toEqual(all);
  });

  test("ends with S3, also while nobody asks", async () => {
    await rig.expectPositive("280301");
    rig.clock.advance(5_000);
    expect(rig.ecu.communication).toEqual(all);
  });

  test("is not for the default session", async () => {
    await rig.expectPositive("1001");
    expect(await rig.ask("280301")).toEqual(["7f287f"]);
  });
});
