import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { demoSecrets, hmacKey } from "#protocol/uds/security-key.ts";
import { startEcu } from "#vmg-sim/ecu/ecu.ts";
import { ecuConfig, ecuRig, hexOf, type EcuRig } from "./ecu-rig.ts";
import { testDefinition } from "./test-definition.ts";

const WRONG_KEY = "2702" + "00".repeat(16);

let rig: EcuRig;

beforeEach(async () => {
  rig = await ecuRig();
  await rig.expectPositive("1003");
});

afterEach(() => rig.dispose());

async function wrongKeys(count: number, level = 1, to = rig): Promise<string[]> {
  const answers: string[] = [];
  for (let i = 0; i < count; i++) {
    await to.expectPositive(Uint8Array.of(0x27, level));
    answers.push(...(await to.ask(Uint8Array.of(0x27, level + 1, ...new Uint8Array(16)))));
  }
  return answers;
}

describe("27 security access", () => {
  test("gives a fresh seed, never zero, while it is locked", async () => {
    const seeds = new Set<string>();
    for (let i = 0; i < 20; i++) seeds.add((await rig.ask("2701"))[0] ?? "");
    expect(seeds.size).toBe(20);
    for (const seed of seeds) expect(seed).toMatch(/^6701(?!0{32})[0-9a-f]{32}$/);
  });

  test("gives no zero seed even when chance makes one", async () => {
    const ecu = await startEcu({
      config: ecuConfig,
      stateFolder: `${rig.folder}/zero`,
      clock: rig.clock,
      random: (length) => new Uint8Array(length),
    });
    const answers: string[] = [];
    for (const request of ["1003", "2701"]) {
      await ecu.handle(
        Buffer.from(request, "hex"),
        { source: 0x0e80, functional: false },
        (response) => answers.push(hexOf(response)),
      );
    }
    expect(answers[1]).not.toBe(`6701${"00".repeat(16)}`);
    await ecu.stop();
  });

  test("is unlocked with the key, then gives a zero seed for that level only", async () => {
    await rig.unlock(1);
    expect(await rig.ask("2701")).toEqual([`6701${"00".repeat(16)}`]);
    expect((await rig.ask("2703"))[0]).not.toBe(`6703${"00".repeat(16)}`);
  });

  test("a level's key does not open another", async () => {
    const [seed = ""] = await rig.ask("2703");
    const key = hmacKey(demoSecrets)(1, Buffer.from(seed.slice(4), "hex"));
    expect(await rig.ask(`2704${hexOf(key)}`)).toEqual(["7f2735"]);
  });

  test("a seed is good for one key", async () => {
    await rig.expectPositive("2701");
    expect(await rig.ask(WRONG_KEY)).toEqual(["7f2735"]);
    expect(await rig.ask(WRONG_KEY)).toEqual(["7f2724"]);
  });

  test.each([
    ["a key without a seed", "2702" + "00".repeat(16), "7f2724"],
    ["an unknown level", "2705", "7f2712"],
    ["sub-function 0", "2700", "7f2712"],
    ["a record with the seed request", "270100", "7f2713"],
    ["no sub-function", "27", "7f2713"],
  ])("%s is refused", async (_, request, answer) => {
    expect(await rig.ask(request)).toEqual([answer]);
  });

  test("a key of another level than the seed is out of sequence", async () => {
    await rig.expectPositive("2703");
    expect(await rig.ask(WRONG_KEY)).toEqual(["7f2724"]);
  });

  test("a key of the wrong length costs no attempt", async () => {
    for (let i = 0; i < 5; i++) {
      await rig.expectPositive("2701");
      expect(await rig.ask("270200")).toEqual(["7f2713"]);
    }
  });

  test("the third wrong key starts the delay", async () => {
    expect(await wrongKeys(3)).toEqual(["7f2735", "7f2735", "7f2736"]);
    expect(await rig.ask("2701")).toEqual(["7f2737"]);
    // S3 would end the session before the delay is over.
    rig.clock.advance(4_999);
    await rig.expectPositive("3e00");
    rig.clock.advance(4_999);
    await rig.expectPositive("3e00");
    expect(await rig.ask("2701")).toEqual(["7f2737"]);
    rig.clock.advance(2);
    await rig.unlock();
  });

  test("after the delay one more wrong key starts it again", async () => {
    await wrongKeys(3);
    rig.clock.advance(10_000);
    await rig.expectPositive("1003");
    expect(await wrongKeys(1)).toEqual(["7f2736"]);
    expect(await rig.ask("2701")).toEqual(["7f2737"]);
  });

  test.each([
    ["a reset", () => rig.expectPositive("1101")],
    ["switching off", () => rig.powerCycle()],
  ])("the delay survives %s", async (_, interrupt) => {
    await wrongKeys(3);
    await interrupt();
    await rig.expectPositive("1003");
    expect(await rig.ask("2701")).toEqual(["7f2737"]);
    rig.clock.advance(10_000);
    await rig.expectPositive("1003");
    await rig.unlock();
  });

  test("so do the attempts before it", async () => {
    await wrongKeys(2);
    await rig.powerCycle();
    await rig.expectPositive("1003");
    expect(await wrongKeys(1)).toEqual(["7f2736"]);
  });

  test("the right key forgives the wrong ones", async () => {
    await wrongKeys(2);
    await rig.unlock();
    await rig.expectPositive("1003");
    expect(await wrongKeys(3)).toEqual(["7f2735", "7f2735", "7f2736"]);
  });
});

describe("27, a seed is void", () => {
  test.each([
    ["after a seed of another level", ["2703"]],
    ["after a session", ["1003"]],
    ["after a reset", ["1101", "1003"]],
  ])("%s", async (_, requests) => {
    const [seed = ""] = await rig.ask("2701");
    const key = hexOf(hmacKey(demoSecrets)(1, Buffer.from(seed.slice(4), "hex")));
    await rig.expectPositive(...requests);
    expect(await rig.ask(`2702${key}`)).toEqual(["7f2724"]);
  });

  test("after a zero seed of another level", async () => {
    await rig.unlock(1);
    const [seed = ""] = await rig.ask("2703");
    const key = hexOf(hmacKey(demoSecrets)(3, Buffer.from(seed.slice(4), "hex")));
    expect(await rig.ask("2701")).toEqual([`6701${"00".repeat(16)}`]);
    expect(await rig.ask(`2704${key}`)).toEqual(["7f2724"]);
  });

  test("after the seed of the same level that replaced it", async () => {
    const [seed = ""] = await rig.ask("2701");
    await rig.expectPositive("2701");
    const key = hexOf(hmacKey(demoSecrets)(1, Buffer.from(seed.slice(4), "hex")));
    expect(await rig.ask(`2702${key}`)).toEqual(["7f2735"]);
  });
});

describe("27, each level by itself", () => {
  let defined: EcuRig;

  beforeEach(async () => {
    defined = await ecuRig({ definition: testDefinition });
    await defined.expectPositive("1003");
  });

  afterEach(() => defined.dispose());

  /** Passes time without letting the session run out. */
  async function pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 1_000) {
      defined.clock.advance(Math.min(1_000, ms - passed));
      await defined.expectPositive("3e00");
    }
  }

  test("has its own attempts and delay", async () => {
    expect(await wrongKeys(2, 3, defined)).toEqual(["7f2735", "7f2736"]);
    expect(await defined.ask("2703")).toEqual(["7f2737"]);
    expect(await wrongKeys(2, 1, defined)).toEqual(["7f2735", "7f2735"]);
    await defined.unlock(1);
    await pass(29_999);
    expect(await defined.ask("2703")).toEqual(["7f2737"]);
    await pass(1);
    await defined.unlock(3);
  });

  test("keeps its attempts when another level is opened", async () => {
    await wrongKeys(1, 3, defined);
    await defined.unlock(1);
    expect(await wrongKeys(1, 3, defined)).toEqual(["7f2736"]);
  });

  test("begins its delay anew when it is switched on", async () => {
    await wrongKeys(2, 3, defined);
    await pass(29_000);
    await defined.powerCycle();
    await defined.expectPositive("1003");
    await pass(29_999);
    expect(await defined.ask("2703")).toEqual(["7f2737"]);
    await defined.unlock(1);
    await pass(1);
    await defined.unlock(3);
  });

  test("is not there without a secret", async () => {
    const secrets = { 1: demoSecrets[1] ?? "" };
    const other = await ecuRig({ definition: testDefinition, security: { secrets } });
    await other.expectPositive("1003", "2701");
    expect(await other.ask("2703")).toEqual(["7f2712"]);
    await other.dispose();
  });
});
