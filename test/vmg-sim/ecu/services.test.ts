import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { decodeExchange } from "#protocol/uds/decode.ts";
import { ecuRig, hexOf, type EcuRig } from "./ecu-rig.ts";

let rig: EcuRig;

beforeEach(async () => {
  rig = await ecuRig();
});

afterEach(() => rig.dispose());

const text = (value: string) => Buffer.from(value).toString("hex");

/** Where the requests of a row are sent. */
const states: Record<string, () => Promise<void>> = {
  default: async () => {},
  extended: () => rig.expectPositive("1003"),
  programming: () => rig.expectPositive("1003", "1002"),
  unlocked: () => rig.enterProgramming(),
};

describe("the order of the checks", () => {
  test.each([
    ["an unknown service", "default", "ba", "7fba11"],
    ["a response is no request", "default", "7f2210", "7f7f11"],
    ["the service comes before the length", "default", "87", "7f8711"],
    ["the session comes before security and length", "default", "34", "7f347f"],
    ["the session comes before the length", "default", "2e", "7f2e7f"],
    ["so with periodic reading", "default", "2a", "7f2a7f"],
    ["so with controls", "default", "2f", "7f2f7f"],
    ["so with communication", "default", "28", "7f287f"],
    ["so with an upload", "default", "35", "7f357f"],
    ["memory is read in any session", "default", "23", "7f2313"],
    ["so are DIDs defined", "default", "2c", "7f2c13"],
    ["an ECU without memory has no address", "default", "23121000ff", "7f2331"],
    ["an ECU without controls has none", "extended", "2ff19000", "7f2f31"],
    ["an ECU without memory uploads none", "extended", "35001210000a", "7f3531"],
    ["a service of another session", "extended", "3601aa", "7f367f"],
    ["a routine in the default session", "default", "3101ff00", "7f317f"],
    ["security comes before the length", "programming", "34", "7f3433"],
    ["security comes before the sequence", "programming", "3601aa", "7f3633"],
    ["the length comes before the sub-function", "default", "10", "7f1013"],
    ["an unknown sub-function comes before the full length", "default", "10550000", "7f1012"],
    ["a sub-function of another session", "default", "1002", "7f107e"],
    ["the full length comes last", "default", "100100", "7f1013"],
    ["sequence comes before the full length", "unlocked", "36", "7f3613"],
    ["no download before the data", "unlocked", "3601aa", "7f3624"],
    ["no download before the end", "unlocked", "3700", "7f3724"],
    ["an unknown routine", "extended", "31011234", "7f3131"],
    ["an unknown routine comes before its sub-function", "extended", "31551234", "7f3131"],
    ["a routine of another session", "extended", "3101ff00", "7f3131"],
    ["a routine that is locked", "programming", "3101ff00", "7f3133"],
    ["a routine has no such sub-function", "unlocked", "3102ff00", "7f3112"],
    ["a routine that has not run has no result", "unlocked", "3103ff00", "7f3124"],
    ["a routine takes no record", "unlocked", "3101ff0001", "7f3113"],
    ["a routine id cut short", "unlocked", "3101ff", "7f3113"],
  ])("%s", async (_, state, request, answer) => {
    await states[state]?.();
    expect(await rig.ask(request)).toEqual([answer]);
  });
});

describe("10 session control", () => {
  test.each([
    ["1001", "5001003201f4"],
    ["1003", "5003003201f4"],
  ])("%s tells its timing", async (request, answer) => {
    expect(await rig.ask(request)).toEqual([answer]);
  });

  test("programming is entered from the extended session", async () => {
    expect(await rig.ask("1002")).toEqual(["7f107e"]);
    await rig.expectPositive("1003", "1002", "1002");
    expect(await rig.ask("22f186")).toEqual(["62f18602"]);
  });

  test("falls back after S3 without a request", async () => {
    await rig.expectPositive("1003");
    rig.clock.advance(4_999);
    expect(await rig.ask("22f186")).toEqual(["62f18603"]);
    rig.clock.advance(5_000);
    expect(await rig.ask("22f186")).toEqual(["62f18601"]);
  });

  test("is kept by testers present, also by those that want no answer", async () => {
    await rig.expectPositive("1003");
    for (let i = 0; i < 4; i++) {
      rig.clock.advance(4_000);
      expect(await rig.ask("3e80", { functional: i % 2 === 0 })).toEqual([]);
    }
    expect(await rig.ask("22f186")).toEqual(["62f18603"]);
  });

  test.each(["1001", "1003"])("%s locks again", async (request) => {
    await rig.enterProgramming();
    await rig.expectPositive("1003");
    await rig.unlock();
    await rig.expectPositive(request, "1003");
    expect(await rig.ask("2ef19920261105")).toEqual(["7f2e33"]);
  });
});

describe("3E tester present", () => {
  test.each([
    ["3e00", ["7e00"]],
    ["3e80", []],
    ["3e", ["7f3e13"]],
    ["3e01", ["7f3e12"]],
    ["3e81", ["7f3e12"]],
    ["3e0000", ["7f3e13"]],
  ])("%s → %j", async (request, answers) => {
    expect(await rig.ask(request)).toEqual(answers);
  });
});

describe("22 read data", () => {
  test.each([
    ["f190", text("WAUZZZ8V0JA000001")],
    ["f18c", text("SN-0001")],
    ["f191", text("HW-1.2")],
    ["f195", text("1.0.0")],
    ["f197", text("brake-controller")],
    ["f18a", text("ACME")],
    ["f180", text("0.9.1")],
    ["f18b", "20260331"],
    ["f186", "01"],
  ])("%s", async (did, record) => {
    expect(await rig.ask(`22${did}`)).toEqual([`62${did}${record}`]);
  });

  test("several, leaving out what it does not have", async () => {
    expect(await rig.ask("22f195f1ffaaaaf186")).toEqual([`62f195${text("1.0.0")}f18601`]);
  });

  test.each([
    ["22", "7f2213"],
    ["22f1", "7f2213"],
    ["22f19012", "7f2213"],
    ["22ffff", "7f2231"],
    [`22${"f190".repeat(65)}`, "7f2213"],
  ])("%s is refused", async (request, answer) => {
    expect(await rig.ask(request)).toEqual([answer]);
  });

  test("as many as one request may carry", async () => {
    const [answer = ""] = await rig.ask(`22${"f186".repeat(64)}`);
    expect(answer).toBe(`62${"f18601".repeat(64)}`);
  });

  test("values that live change within their range", async () => {
    const seen = new Set<number>();
    for (let minute = 0; minute < 20; minute++) {
      rig.clock.advance(7_000);
      const request = Buffer.from("220100010101020103", "hex");
      const [answer = ""] = await rig.ask(request);
      const { values = [] } = decodeExchange(request, Buffer.from(answer, "hex"));
      const [voltage, temperature, load, time] = values.map(({ value }) => Number(value));
      expect(voltage).toBeGreaterThan(12_000);
      expect(voltage).toBeLessThan(13_100);
      expect(Math.abs((temperature ?? 0) - 45)).toBeLessThanOrEqual(12);
      expect(load).toBeLessThanOrEqual(100);
      expect(time).toBe((minute + 1) * 7);
      seen.add(voltage ?? 0);
    }
    expect(seen.size).toBeGreaterThan(5);
  });
});

describe("2E write data", () => {
  test("needs to be unlocked, at any level, and is remembered without power", async () => {
    await rig.expectPositive("1003");
    expect(await rig.ask("2ef19920261105")).toEqual(["7f2e33"]);
    await rig.unlock(3);
    expect(await rig.ask("2ef19920261105")).toEqual(["6ef199"]);
    expect(await rig.ask(`2ef198${text("SHOP-7")}`)).toEqual(["6ef198"]);
    await rig.powerCycle();
    expect(await rig.ask("22f199f198")).toEqual([`62f19920261105f198${text("SHOP-7")}`]);
  });

  test.each([
    ["a DID that only reads", `2ef190${text("WAUZZZ8V0JA000002")}`, "7f2e31"],
    ["an unknown DID", "2effff00", "7f2e31"],
    ["a wrong length", "2ef199202611", "7f2e13"],
    ["no date", "2ef199ffffffff", "7f2e31"],
    ["no text", "2ef198ff", "7f2e31"],
    ["nothing", "2ef198", "7f2e13"],
    ["too much", `2ef198${text("x".repeat(65))}`, "7f2e13"],
  ])("%s is refused", async (_, request, answer) => {
    await rig.enterProgramming();
    expect(await rig.ask(request)).toEqual([answer]);
  });
});

describe("19 and 14, trouble codes", () => {
  const all = "0562162fc121000c40351150";

  test.each([
    ["190a", `590aff${all}`],
    ["1902ff", `5902ff${all}`],
    ["190201", "5902ff0562162f"],
    ["190208", "5902ff0562162fc121000c"],
    ["190280", "5902ff"],
    ["1901ff", "5901ff010003"],
    ["190108", "5901ff010002"],
    ["190100", "5901ff010000"],
    ["19", "7f1913"],
    ["1902", "7f1913"],
    ["1902ffff", "7f1913"],
    ["190aff", "7f1913"],
    ["1906", "7f1913"],
  ])("%s → %s", async (request, answer) => {
    expect(await rig.ask(request)).toEqual([answer]);
  });

  test("all are cleared, for good", async () => {
    expect(await rig.ask("14ffffff")).toEqual(["54"]);
    await rig.powerCycle();
    expect(await rig.ask("190108")).toEqual(["5901ff010000"]);
    expect(await rig.ask("190a")).toEqual(["590aff05621650c121005040351150"]);
  });

  test("one is cleared", async () => {
    expect(await rig.ask("14c12100")).toEqual(["54"]);
    expect(await rig.ask("190208")).toEqual(["5902ff0562162f"]);
  });

  test.each([
    ["14123456", "7f1431"],
    ["14ffff", "7f1413"],
    ["14ffffff00", "7f1413"],
  ])("%s is refused", async (request, answer) => {
    expect(await rig.ask(request)).toEqual([answer]);
  });
});

describe("11 reset", () => {
  test.each(["1101", "1102", "1103"])("%s answers, then starts anew", async (request) => {
    await rig.expectPositive("1003");
    await rig.unlock();
    expect(await rig.ask(request)).toEqual([`51${request.slice(2)}`]);
    expect(rig.events).toEqual(["down", "up"]);
    expect(await rig.ask("22f186")).toEqual(["62f18601"]);
    await rig.expectPositive("1003");
    expect(await rig.ask("2ef19920261105")).toEqual(["7f2e33"]);
  });

  test("without an answer when none is wanted", async () => {
    expect(await rig.ask("1181")).toEqual([]);
    expect(rig.events).toEqual(["down", "up"]);
  });

  test.each([
    ["1104", "7f1112"],
    ["110100", "7f1113"],
    ["11", "7f1113"],
  ])("%s is refused", async (request, answer) => {
    expect(await rig.ask(request)).toEqual([answer]);
    expect(rig.events).toEqual([]);
  });

  test("what waits behind it is forgotten", async () => {
    const answers = await Promise.all([rig.ask("1101"), rig.ask("22f186"), rig.ask("3e00")]);
    expect(answers).toEqual([["5101"], [], []]);
  });
});

describe("functional requests", () => {
  const asked = (request: string) => rig.ask(request, { functional: true });

  test.each([
    ["an unknown service", "ba"],
    ["an unknown sub-function", "1055"],
    ["a sub-function of another session", "1002"],
    ["a service of another session", "2701"],
    ["nothing to read", "22ffff"],
  ])("%s is not answered", async (_, request) => {
    expect(await asked(request)).toEqual([]);
  });

  test.each([
    ["22f186", ["62f18601"]],
    ["22f1", ["7f2213"]],
    ["3e80", []],
    ["3e00", ["7e00"]],
  ])("%s → %j", async (request, answers) => {
    expect(await asked(request)).toEqual(answers);
  });
});

test("answers are bytes of their own, not views on the request", async () => {
  const request = Buffer.from("22f186", "hex");
  const [answer] = await rig.ask(request);
  request.fill(0);
  expect(answer).toBe(hexOf(Buffer.from("62f18601", "hex")));
});
