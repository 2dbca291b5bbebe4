import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ecuRig, type EcuRig } from "./ecu-rig.ts";

const CODE = "P0562-16";
const DTC = "056216";
const FAILING = { failingTests: [CODE] };
const HEALTHY = { failingTests: [] };

let rig: EcuRig;

beforeEach(async () => {
  rig = await ecuRig({
    dtcs: [
      { code: CODE, status: 0x50 },
      { code: "U0121-00", status: 0x2c },
    ],
  });
});

afterEach(() => rig.dispose());

const ask = async (request: string) => (await rig.ask(request))[0] ?? "";
const status = async () => (await ask("190a")).slice(6 + 6, 6 + 8);
/** A new operation cycle in which the tests run. */
const cycle = async (behaviour: typeof FAILING) => {
  rig.ecu.setBehaviour({});
  await rig.expectPositive("1101");
  rig.ecu.setBehaviour(behaviour);
  return status();
};

describe("the status of a DTC", () => {
  test("lives over operation cycles: pending, confirmed in the second, healed, aged", async () => {
    rig.ecu.setBehaviour(FAILING);
    expect(await status()).toBe("27");
    rig.ecu.setBehaviour({});
    await rig.expectPositive("1101");
    expect(await status()).toBe("65");
    expect(await cycle(FAILING)).toBe("2f");
    expect(await cycle(HEALTHY)).toBe("2c");
    expect(await cycle(HEALTHY)).toBe("28");
    for (let cycles = 2; cycles < 40; cycles++) expect(await cycle(HEALTHY)).toBe("28");
    expect(await cycle(HEALTHY)).toBe("20");
  });

  test("is pending no more after a cycle without a failure, and counts anew", async () => {
    rig.ecu.setBehaviour(FAILING);
    await cycle(HEALTHY);
    expect(await cycle(HEALTHY)).toBe("20");
    expect(await cycle(FAILING)).toBe("27");
  });

  test("is kept in a cycle in which no test has run", async () => {
    rig.ecu.setBehaviour(FAILING);
    await cycle(FAILING);
    rig.ecu.setBehaviour({});
    await rig.expectPositive("1101", "1101");
    expect(await status()).toBe("6d");
  });

  test("survives a power cut", async () => {
    await cycle(FAILING);
    await cycle(FAILING);
    await rig.powerCycle();
    expect(await status()).toBe("6d");
  });
});

describe("19 03 and 04, snapshots", () => {
  test("are taken when a test begins to fail", async () => {
    rig.clock.advance(90_000);
    rig.ecu.setBehaviour(FAILING);
    const [voltage, temperature] =
      (await ask("2201000101")).match(/^620100(.{4})0101(.{4})$/)?.slice(1) ?? [];
    rig.clock.advance(5_000);
    rig.ecu.setBehaviour(FAILING);
    const record = `01030100${voltage}0101${temperature}01030000005a`;
    expect(await ask(`1904${DTC}01`)).toBe(`5904${DTC}27${record}`);
    expect(await ask(`1904${DTC}ff`)).toBe(`5904${DTC}27${record}`);
    expect(await ask("1903")).toBe(`5903${DTC}01c1210001`);
  });

  test("are answered without a record where nothing has failed", async () => {
    expect(await ask(`1904${DTC}01`)).toBe(`5904${DTC}50`);
  });
});

describe("19 06, extended data", () => {
  test("count failures and the cycles without", async () => {
    rig.ecu.setBehaviour(FAILING);
    rig.ecu.setBehaviour(HEALTHY);
    rig.ecu.setBehaviour(FAILING);
    expect(await ask(`1906${DTC}01`)).toBe(`5906${DTC}270102`);
    await cycle(FAILING);
    for (let cycles = 0; cycles < 4; cycles++) await cycle(HEALTHY);
    expect(await ask(`1906${DTC}ff`)).toBe(`5906${DTC}2801020203`);
  });
});

test("14 clears what was recorded, too", async () => {
  rig.ecu.setBehaviour(FAILING);
  await rig.expectPositive(`14${DTC}`);
  expect(await ask("1903")).toBe("5903c1210001");
  expect(await ask(`1906${DTC}ff`)).toBe(`5906${DTC}5001000200`);
});

describe("85, DTC setting", () => {
  test("off: results of tests are not noted, until it is on or the session ends", async () => {
    await rig.expectPositive("1003", "8502");
    rig.ecu.setBehaviour(FAILING);
    expect(await status()).toBe("50");
    await rig.expectPositive("8501");
    rig.ecu.setBehaviour(FAILING);
    expect(await status()).toBe("27");
    await rig.expectPositive("8502", "1001");
    rig.ecu.setBehaviour(HEALTHY);
    expect(await status()).toBe("26");
  });

  test.each([
    ["default", "8501", "7f857f"],
    ["extended", "8503", "7f8512"],
    ["extended", "850101", "7f8513"],
    ["extended", "85", "7f8513"],
    ["extended", "8582", ""],
  ])("in the %s session %s → %s", async (session, request, answer) => {
    if (session === "extended") await rig.expectPositive("1003");
    expect(await ask(request)).toBe(answer);
  });
});

test.each([
  ["1904123456ff", "7f1931"],
  [`1904${DTC}02`, "7f1931"],
  [`1906${DTC}03`, "7f1931"],
  [`1904${DTC}`, "7f1913"],
  [`1906${DTC}0101`, "7f1913"],
  ["190300", "7f1913"],
  ["1905", "7f1912"],
])("%s is refused with %s", async (request, answer) => {
  expect(await ask(request)).toBe(answer);
});
