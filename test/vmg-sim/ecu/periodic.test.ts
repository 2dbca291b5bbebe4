import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startEcu } from "#vmg-sim/ecu/ecu.ts";
import { ecuConfig, ecuRig, hexOf, type EcuRig } from "./ecu-rig.ts";
import { testDefinition } from "./test-definition.ts";

let rig: EcuRig;

beforeEach(async () => {
  rig = await ecuRig({ definition: testDefinition });
  await rig.expectPositive("1003");
});

afterEach(() => rig.dispose());

describe("2A read periodically", () => {
  test.each([
    ["slow", "2a0101", 1_000],
    ["medium", "2a0201", 200],
    ["fast", "2a0301", 50],
  ])("%s: the answer, then the identifier with its data at that rate", async (_, request, ms) => {
    const heard = await rig.ask(request);
    expect(heard).toEqual(["6a"]);
    rig.clock.advance(ms - 1);
    expect(heard).toEqual(["6a"]);
    rig.clock.advance(1);
    expect(heard).toEqual(["6a", "011234"]);
    rig.clock.advance(2 * ms);
    expect(heard).toEqual(["6a", "011234", "011234", "011234"]);
  });

  test("each tester hears what it has asked for, at its rate", async () => {
    const first = await rig.ask("2a0301");
    const second = await rig.ask("2a0202", { source: 0x0e81 });
    rig.clock.advance(200);
    expect(first).toEqual(["6a", "011234", "011234", "011234", "011234"]);
    expect(second).toEqual(["6a", "02aa"]);
  });

  test("asked again at another rate it changes its rate", async () => {
    const first = await rig.ask("2a0301");
    const second = await rig.ask("2a0101");
    rig.clock.advance(1_000);
    expect(first).toEqual(["6a"]);
    expect(second).toEqual(["6a", "011234"]);
  });

  test("with the SID in front, where the definition says so", async () => {
    const definition = {
      ...testDefinition,
      periodic: { ...testDefinition.periodic, response: "with_sid" as const },
    };
    const other = await ecuRig({ definition });
    await other.expectPositive("1003");
    const heard = await other.ask("2a0301");
    other.clock.advance(50);
    expect(heard).toEqual(["6a", "6a011234"]);
    await other.dispose();
  });

  test("one is stopped, then all", async () => {
    const heard = await rig.ask("2a030102");
    expect(await rig.ask("2a0401")).toEqual(["6a"]);
    rig.clock.advance(50);
    expect(heard).toEqual(["6a", "02aa"]);
    expect(await rig.ask("2a04")).toEqual(["6a"]);
    rig.clock.advance(500);
    expect(heard).toEqual(["6a", "02aa"]);
  });

  test("one that the ECU does not have is left out", async () => {
    const heard = await rig.ask("2a030102ee");
    rig.clock.advance(50);
    expect(heard).toEqual(["6a", "011234", "02aa"]);
  });

  test.each([
    ["none that it has", "2a03ee", "7f2a31"],
    ["to stop none that it has", "2a04ee", "7f2a31"],
    ["a rate that is none", "2a0501", "7f2a31"],
    ["a rate of nothing", "2a03", "7f2a13"],
    ["no mode", "2a", "7f2a13"],
    ["one that is locked", "2a030103", "7f2a33"],
    ["more than at once", "2a03010204", "7f2a31"],
  ])("is refused: %s", async (_, request, answer) => {
    expect(await rig.ask(request)).toEqual([answer]);
    rig.clock.advance(50);
    expect(await rig.ask("3e00")).toEqual(["7e00"]);
  });

  test("the same twice counts once", async () => {
    const heard = await rig.ask("2a03010101");
    rig.clock.advance(50);
    expect(heard).toEqual(["6a", "011234"]);
  });

  test("does not keep the session alive, and ends with it", async () => {
    const heard = await rig.ask("2a0101");
    rig.clock.advance(4_999);
    expect(heard).toHaveLength(5);
    rig.clock.advance(5_000);
    expect(heard).toHaveLength(5);
    expect(await rig.ask("22f186")).toEqual(["62f18601"]);
  });

  test("goes on in another session than the default one", async () => {
    const heard = await rig.ask("2a0301");
    await rig.expectPositive("1002");
    rig.clock.advance(50);
    expect(heard).toEqual(["6a", "011234"]);
  });

  test("ends for what the change of session has locked", async () => {
    await rig.unlock(3);
    const heard = await rig.ask("2a030301");
    rig.clock.advance(50);
    await rig.expectPositive("1003");
    rig.clock.advance(100);
    expect(heard).toEqual(["6a", "03bb", "011234", "011234", "011234"]);
  });

  test("ends for what another level has locked", async () => {
    await rig.unlock(3);
    const heard = await rig.ask("2a030301");
    await rig.unlock(1);
    rig.clock.advance(50);
    expect(heard).toEqual(["6a", "011234"]);
  });

  test.each(["1001", "1101"])("ends with %s", async (request) => {
    const heard = await rig.ask("2a0301");
    await rig.expectPositive(request, "1003");
    rig.clock.advance(500);
    expect(heard).toEqual(["6a"]);
  });

  test("sends nothing when it is switched off", async () => {
    const heard = await rig.ask("2a0301");
    await rig.powerCycle();
    rig.clock.advance(500);
    expect(heard).toEqual(["6a"]);
  });

  test("waits for a tester that does not take what it gets", async () => {
    let congested = true;
    const heard = await rig.ask("2a0301", { congested: () => congested });
    rig.clock.advance(500);
    expect(heard).toEqual(["6a"]);
    congested = false;
    rig.clock.advance(50);
    expect(heard).toEqual(["6a", "011234"]);
  });

  test("a request that takes longer than S3 does not end it", async () => {
    const heard = await rig.ask("2a0101");
    rig.ecu.setBehaviour({ slowMs: 8_000 });
    const slow = rig.ask("3e00");
    for (let passed = 0; passed < 8_100; passed += 50) {
      await new Promise(setImmediate);
      rig.clock.advance(50);
    }
    expect((await slow).at(-1)).toBe("7e00");
    expect(heard.length).toBeGreaterThan(7);
  });
});

test("an ECU without a definition reads nothing periodically", async () => {
  const heard: string[] = [];
  const ecu = await startEcu({
    config: ecuConfig,
    stateFolder: `${rig.folder}/plain`,
    clock: rig.clock,
  });
  for (const request of ["1003", "2a0301"]) {
    const tester = { source: 0x0e80, functional: false };
    await ecu.handle(Buffer.from(request, "hex"), tester, (answer) => heard.push(hexOf(answer)));
  }
  expect(heard[1]).toBe("7f2a31");
  await ecu.stop();
});
