import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ecuRig, type EcuRig } from "./ecu-rig.ts";
import { testDefinition } from "./test-definition.ts";

let rig: EcuRig;

beforeEach(async () => {
  rig = await ecuRig({ definition: testDefinition });
});

afterEach(() => rig.dispose());

const text = (value: string) => Buffer.from(value).toString("hex");

describe("22, what the definition adds", () => {
  test.each([
    ["0301", "00"],
    ["0302", "32"],
    ["0304", "010203"],
    ["0305", text("hi")],
    ["f201", "1234"],
    ["f190", text("WAUZZZ8V0JA000001")],
  ])("%s", async (did, record) => {
    expect(await rig.ask(`22${did}`)).toEqual([`62${did}${record}`]);
  });

  test("a signal follows the clock between its ends, and comes back", async () => {
    const speed = async () => Number.parseInt((await rig.ask("220300"))[0]?.slice(6) ?? "", 16);
    const first = await speed();
    const seen: number[] = [];
    for (let second = 0; second < 10; second++) {
      rig.clock.advance(1_000);
      seen.push(await speed());
    }
    expect(seen.at(-1)).toBe(first);
    expect(new Set(seen).size).toBeGreaterThan(4);
    expect(Math.min(...seen)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...seen)).toBeLessThanOrEqual(10_000);
  });

  test("a locked DID refuses the request, also beside others", async () => {
    expect(await rig.ask("22f1900303")).toEqual(["7f2233"]);
    await rig.expectPositive("1003");
    await rig.unlock(3);
    expect(await rig.ask("220303")).toEqual(["62030301020304"]);
  });

  test("a DID of another session is not there", async () => {
    expect(await rig.ask("220307")).toEqual(["7f2231"]);
    expect(await rig.ask("2203070301")).toEqual(["62030100"]);
    await rig.expectPositive("1003");
    expect(await rig.ask("220307")).toEqual(["62030707"]);
  });

  test("what does not fit into a response is refused with 14", async () => {
    expect(await rig.ask("220306")).toEqual([`620306${"5a".repeat(150)}`]);
    expect(await rig.ask("2203060306")).toEqual(["7f2214"]);
  });
});

describe("2E, what the definition adds", () => {
  test("needs its session and level, and is remembered without power", async () => {
    await rig.expectPositive("1003");
    expect(await rig.ask("2e030228")).toEqual(["7f2e33"]);
    await rig.unlock(3);
    expect(await rig.ask("2e030228")).toEqual(["6e0302"]);
    expect(await rig.ask(`2e0305${text("new note")}`)).toEqual(["6e0305"]);
    await rig.powerCycle();
    expect(await rig.ask("2203020305")).toEqual([`620302280305${text("new note")}`]);
  });

  test("is forgotten when the definition has another length", async () => {
    await rig.expectPositive("1003");
    await rig.unlock(3);
    await rig.expectPositive("2e030228");
    const definition = {
      ...testDefinition,
      dids: testDefinition.dids.map((did) =>
        did.did === 0x0302 ? { ...did, codec: { kind: "uint", length: 2 } as const } : did,
      ),
    };
    const next = await ecuRig({ definition }, {}, rig.folder);
    expect(await next.ask("220302")).toEqual(["6203020032"]);
    await next.dispose();
  });

  test.each([
    ["a value below its least", "2e030209", "7f2e31"],
    ["a value above its greatest", "2e03025b", "7f2e31"],
    ["a wrong length", "2e03020000", "7f2e13"],
    ["a byte without a word", "2e030105", "7f2e31"],
    ["no text", "2e030500ff", "7f2e31"],
    ["too long a text", `2e0305${text("x".repeat(65))}`, "7f2e13"],
    ["one that only reads", "2e03000000", "7f2e31"],
  ])("refuses %s", async (_, request, answer) => {
    await rig.expectPositive("1003");
    await rig.unlock(3);
    expect(await rig.ask(request)).toEqual([answer]);
  });
});

describe("31, what the definition adds", () => {
  test("a routine in the background has its result when it is done", async () => {
    await rig.expectPositive("1003");
    expect(await rig.ask("31030400")).toEqual(["7f3124"]);
    expect(await rig.ask("31010400")).toEqual(["71010400"]);
    expect(await rig.ask("31010400")).toEqual(["7f3122"]);
    expect(await rig.ask("31030400")).toEqual(["7f3122"]);
    rig.clock.advance(3_000);
    expect(await rig.ask("31030400")).toEqual(["710304000042"]);
    expect(await rig.ask("31020400")).toEqual(["7f3124"]);
  });

  test("one that is stopped has none", async () => {
    await rig.expectPositive("1003", "31010400");
    expect(await rig.ask("31020400")).toEqual(["71020400"]);
    expect(await rig.ask("31030400")).toEqual(["7f3124"]);
  });

  test.each(["1001", "1002"])("one that is not stopped ends with %s", async (session) => {
    await rig.expectPositive("1003", "31010400", session, "1003");
    expect(await rig.ask("31030400")).toEqual(["7f3124"]);
  });

  test("one that is not stopped goes on in the session that it needs", async () => {
    await rig.expectPositive("1003", "31010400", "1003");
    rig.clock.advance(3_000);
    expect(await rig.ask("31030400")).toEqual(["710304000042"]);
  });

  test.each([
    ["before its level is unlocked", "3101040100ff", false, "7f3133"],
    ["without its option", "31010401", true, "7f3113"],
    ["to stop what does not stop", "31020401", true, "7f3112"],
    ["with a sub-function that is none", "31550401", true, "7f3112"],
  ])("is refused %s", async (_, request, unlocked, answer) => {
    await rig.expectPositive("1003");
    if (unlocked) await rig.unlock(3);
    expect(await rig.ask(request)).toEqual([answer]);
  });

  test("answers when it is done, and again when asked", async () => {
    await rig.expectPositive("1003");
    await rig.unlock(3);
    expect(await rig.ask("3101040100ff")).toEqual(["7101040100"]);
    expect(await rig.ask("31030401")).toEqual(["7103040100"]);
  });
});

test("the trouble codes are those of the definition", async () => {
  const other = await ecuRig({ definition: testDefinition, dtcs: testDefinition.dtcs });
  expect(await other.ask("190a")).toEqual(["590aff4035112f"]);
  await other.dispose();
});
